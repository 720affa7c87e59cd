// SPDX-License-Identifier: BSL-1.0
#include <heed/attention/attend_source.hpp>
#include <heed/mask/causal.hpp>
#include <heed/mask/combine.hpp>
#include <heed/mask/window.hpp>

#include "support/on_source.hpp"

namespace heed::test {

TEST_CASE("attend reads sources of every format") {
  unsigned stream = 0;
  for (const kv_type k :
       {kv_type::f32, kv_type::f64, kv_type::f16, kv_type::bf16, kv_type::i8, kv_type::i4})
    for (source_call call : source_calls()) {
      call.form.k = k, call.form.v = k == kv_type::i4 ? kv_type::i8 : k;
      agree_on(attention{.mask = causal{}}, call, 8, ++stream);
    }
}

TEST_CASE("attend reads codes in groups, with zero points and with scales of channels") {
  unsigned stream = 0;
  for (source_call call : source_calls()) {
    call.form.k = kv_type::i4, call.form.v = kv_type::i8;
    call.form.group = 8, call.form.zeros = true, call.form.scales = element::f16;
    agree_on(attention{.mask = causal{}}, call, 8, ++stream);
    call.form.zeros = false, call.form.channel_scales = true;
    agree_on(attention{.mask = causal{}}, call, 8, ++stream);
  }
}

TEST_CASE("attend reads rows with strides of any sign and channels apart") {
  unsigned stream = 0;
  for (source_call call : source_calls()) {
    call.form.strided = call.form.reversed = true;
    agree_on(attention{.mask = causal{}}, call, 8, ++stream);
  }
}

TEST_CASE("attend on a source computes in double where q is double") {
  for (source_call call : source_calls()) agree_on<double>(attention{.mask = causal{}}, call);
}

TEST_CASE("masks see the positions of cached tokens") {
  for (const source_call& call : source_calls()) {
    agree_on(attention{.mask = causal{} && window{20}}, call);
    agree_on(attention{.mask = causal{} && !(window{9} && window{30})}, call);
  }
}

TEST_CASE("an offset places the queries of every sequence") {
  for (const source_call& call : source_calls())
    agree_on(attention{.mask = causal{}, .offset = 40}, call);
}

}  // namespace heed::test
