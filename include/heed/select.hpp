// SPDX-License-Identifier: BSL-1.0
// All of select/ and pool/: what chooses keys, and what stands for many of them.
#pragma once

#include <heed/pool/agent.hpp>
#include <heed/pool/latent_queries.hpp>
#include <heed/pool/two_hop.hpp>
#include <heed/select/attend_lists.hpp>
#include <heed/select/attend_lists_backward.hpp>
#include <heed/select/biformer.hpp>
#include <heed/select/block_summary.hpp>
#include <heed/select/block_topk.hpp>
#include <heed/select/choose_pairs.hpp>
#include <heed/select/compress_mean.hpp>
#include <heed/select/compressed_past.hpp>
#include <heed/select/data.hpp>
#include <heed/select/expert_choice.hpp>
#include <heed/select/gathered.hpp>
#include <heed/select/group_attention.hpp>
#include <heed/select/key_means.hpp>
#include <heed/select/list_places.hpp>
#include <heed/select/moba.hpp>
#include <heed/select/nsa.hpp>
#include <heed/select/nsa_attend.hpp>
#include <heed/select/nsa_attend_backward.hpp>
#include <heed/select/nsa_scores.hpp>
#include <heed/select/page_bounds.hpp>
#include <heed/select/partial_dims.hpp>
#include <heed/select/placed.hpp>
#include <heed/select/quest.hpp>
#include <heed/select/routing.hpp>
#include <heed/select/row_choice.hpp>
#include <heed/select/row_lists.hpp>
#include <heed/select/token_scores.hpp>
#include <heed/select/top_k.hpp>
