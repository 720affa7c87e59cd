// SPDX-License-Identifier: BSL-1.0
// Writes cases.bin and cases.txt beside this file (argument: the folder) with libtorch's autograd,
// in the format of ../generate.py. Debian: libtorch-dev 1.13.
//   g++ -std=c++17 generate.cpp -I/usr/include/torch/csrc/api/include -ltorch -ltorch_cpu -lc10
// Inputs are float numbers; the gradients are computed in double.
#include <torch/torch.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>

namespace {

std::ofstream blob, lines;
std::size_t offset = 0;

void put(const std::string& name, torch::Tensor x, bool single) {
  std::string shape;
  for (const auto n : x.sizes()) shape += (shape.empty() ? "" : "x") + std::to_string(n);
  x = x.detach().contiguous().to(single ? torch::kFloat32 : torch::kFloat64);
  lines << name << (single ? " f4 " : " f8 ") << shape << " " << offset << "\n";
  blob.write(static_cast<const char*>(x.data_ptr()), static_cast<std::streamsize>(x.nbytes()));
  offset += x.nbytes();
}

torch::Tensor normal(torch::IntArrayRef shape) {
  return torch::randn(shape, torch::kFloat32).to(torch::kFloat64).requires_grad_(true);
}

struct sizes {
  long b, h, kv, lq, lk, d, dv;
};

// bias: its shape, or nothing.
void attention(const std::string& name, const sizes& x, bool causal, std::vector<long> bias = {}) {
  auto q = normal({x.b, x.h, x.lq, x.d}), k = normal({x.b, x.kv, x.lk, x.d}),
       v = normal({x.b, x.kv, x.lk, x.dv});
  auto s = torch::matmul(q, k.repeat_interleave(x.h / x.kv, 1).transpose(-2, -1)) /
           std::sqrt(double(x.d));
  torch::Tensor b;
  if (!bias.empty()) b = normal(bias), s = s + b;
  if (causal)
    s = s.masked_fill(torch::ones({x.lq, x.lk}, torch::kBool).triu(x.lk - x.lq + 1),
                      -std::numeric_limits<double>::infinity());
  const auto out = torch::matmul(torch::softmax(s, -1), v.repeat_interleave(x.h / x.kv, 1));
  const auto d_out = normal({x.b, x.h, x.lq, x.dv}).detach();
  out.backward(d_out);
  put(name + "/q", q, true), put(name + "/k", k, true), put(name + "/v", v, true);
  put(name + "/d_out", d_out, true);
  if (causal) put(name + "/causal", torch::ones({1}), true);
  if (b.defined()) put(name + "/bias", b, true), put(name + "/d_bias", b.grad(), false);
  put(name + "/dq", q.grad(), false);
  put(name + "/dk", k.grad(), false), put(name + "/dv", v.grad(), false);
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[1];
  blob.open(folder + "/cases.bin", std::ios::binary), lines.open(folder + "/cases.txt");
  torch::manual_seed(23);
  attention("full", {2, 2, 2, 5, 7, 8, 6}, false);
  attention("long", {1, 1, 1, 29, 67, 8, 5}, false);
  attention("causal", {1, 2, 2, 9, 9, 8, 8}, true);
  attention("causal_past", {1, 2, 2, 5, 23, 8, 8}, true);
  attention("grouped", {1, 6, 2, 5, 7, 8, 8}, false);
  attention("grouped_causal", {1, 4, 1, 11, 11, 8, 12}, true);
  attention("bias", {2, 3, 3, 5, 7, 8, 8}, false, {2, 3, 5, 7});
  attention("bias_broadcast", {2, 3, 3, 5, 7, 8, 8}, true, {1, 1, 5, 7});
  attention("bias_keys", {2, 2, 2, 5, 7, 8, 8}, false, {2, 1, 1, 7});
  attention("bias_rows", {1, 2, 1, 9, 6, 8, 8}, false, {1, 2, 9, 1});
}
