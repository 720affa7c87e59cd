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
set key bottom right samplen 2 font ",10"
names = "heed Eigen OpenBLAS oneDNN libtorch ORT-MHA ORT-Attention ORT-GQA"
colors = "#c03030 #4477aa #66ccee #228833 #999933 #aa3377 #ee8866 #777777"
set multiplot layout 1,2
do for [panel=0:1] {
  set title (panel == 0 ? "full" : "causal").", 8 heads of 64, two threads"
  set ylabel (panel == 0 ? "% of FMA peak (median)" : "")
  stats "docs/dense.dat" index panel using 1:2 nooutput
  plot for [i=1:8] "docs/dense.dat" index panel using 1:(column(i+1)) with linespoints \
    lw (i == 1 ? 3 : 1.5) pt 7 ps 0.6 lc rgb word(colors, i) title word(names, i)
}
