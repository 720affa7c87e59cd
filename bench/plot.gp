# SPDX-License-Identifier: BSL-1.0
# gnuplot bench/plot.gp        (from the top of the repository, after bench/table.py)
set terminal svg size 960,420 font "sans,13" background rgb "white"
set output "docs/dense.svg"
set datafile missing "?"
set logscale x 2
set xtics (512, 1024, 2048, 4096, 8192)
set xrange [450:9300]
set yrange [0:100]
set grid ytics lc rgb "#dddddd"
set xlabel "sequence length"
set key top center horizontal maxcols 3 samplen 1.5 width -3 font ",11"
# Columns of dense.dat: which implementations have the full and which the causal form.
names = "n heed Eigen OpenBLAS oneDNN libtorch ORT-MHA ORT-Attention ORT-GQA"
colors = "black #c03030 #4477aa #66ccee #228833 #999933 #aa3377 #ee8866 #777777"
array present[2] = ["2 3 4 5 7 8", "2 3 4 8 9"]
set multiplot layout 1,2
do for [panel=0:1] {
  set title (panel == 0 ? "full" : "causal").", 8 heads of 64, two threads"
  set ylabel (panel == 0 ? "% of FMA peak (median)" : "")
  plot for [c in present[panel + 1]] "docs/dense.dat" index panel using 1:(column(c + 0)) with linespoints \
    lw (c + 0 == 2 ? 3 : 1.5) pt 7 ps 0.6 lc rgb word(colors, c + 0) title word(names, c + 0)
}
unset multiplot
