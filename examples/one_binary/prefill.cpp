// SPDX-License-Identifier: BSL-1.0
#include "prefill.hpp"

#include <heed/attention/attend.hpp>
#include <heed/mask/causal.hpp>

// [per_isa]
template <class Arch> void prefill::operator()(Arch, const inputs& x) const {
  heed::attend<Arch>(heed::attention{.mask = heed::causal{}}, x.q, x.k, x.v, x.out);
}
template void prefill::operator()(heed::isa, const inputs&) const;
// [/per_isa]

template <class Arch> const char* chosen::operator()(Arch) const { return Arch::name(); }
template const char* chosen::operator()(heed::isa) const;
