// SPDX-License-Identifier: BSL-1.0
#include "probe.hpp"

#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>
#include <heed/recurrence/scan.hpp>

namespace heed::test {

template <class Arch> void attend_probe::operator()(Arch, const inputs& x) const {
  heed::attend<Arch>(attention{.mask = causal{}}, x.q, x.k, x.v, x.out);
}
template <class Arch> void scan_probe::operator()(Arch, const inputs& x) const {
  heed::scan<Arch>(recurrence{}, x.q, x.k, x.v, x.out);
}
template <class Arch> index width_probe::operator()(Arch) const {
  return simd::width<float, Arch> * index(sizeof(float));
}

template void attend_probe::operator()(isa, const inputs&) const;
template void scan_probe::operator()(isa, const inputs&) const;
template index width_probe::operator()(isa) const;

}  // namespace heed::test
