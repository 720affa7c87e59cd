// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "eigen.hpp"
#include "onednn.hpp"
#include "openblas.hpp"
#include "ort.hpp"
#include "torch.hpp"

namespace bench {

// Every peer this build and machine have. `ort` is the folder with onnxruntime-node, empty for
// none.
inline peer_list installed_peers(const std::string& ort) {
  peer_list all;
  all.push_back(std::make_unique<eigen_peer>());
#if defined(HEED_PEER_OPENBLAS)
  all.push_back(std::make_unique<openblas_peer>());
#endif
#if defined(HEED_PEER_ONEDNN)
  all.push_back(std::make_unique<onednn_peer>());
#endif
#if defined(HEED_PEER_LIBTORCH)
  all.push_back(std::make_unique<torch_peer>());
#endif
  if (!ort.empty()) {
    const auto process = std::make_shared<ort_process>(ort);
    for (const auto kind :
         {ort_operator::multi_head, ort_operator::grouped_query, ort_operator::attention}) {
      all.push_back(std::make_unique<ort_peer>(process, kind));
    }
  }
  return all;
}

}  // namespace bench
