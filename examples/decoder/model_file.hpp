// SPDX-License-Identifier: BSL-1.0
// Files of weights and of training states, little-endian:
//   "heedtext", version, kind           8 bytes, 2 × u32
//   shape                               8 × i64
//   kind checkpoint: step, run          i64, u64: which run it belongs to
//   parameters [mean, square]           f32
//   FNV-1a of all of that               u64
#pragma once

#include "file.hpp"
#include "state.hpp"

namespace decoder {

enum class file_kind : std::uint32_t { weights = 0, checkpoint = 1 };

namespace detail {

inline constexpr char magic[] = "heedtext";
inline constexpr std::uint32_t version = 1;

inline file_kind head(reader& from, bytes data) {
  char name[8];
  from.get(name, sizeof name);
  if (std::memcmp(name, magic, sizeof name) != 0) from.fail("it is not a file of this program");
  if (from.get<std::uint32_t>() != version) from.fail("it has another version");
  const auto kind = from.get<file_kind>();
  const std::size_t size = data.size() - sizeof(std::uint64_t);
  std::uint64_t check;
  std::memcpy(&check, data.data() + size, sizeof check);
  if (check != fnv1a(data.first(size))) from.fail("it is damaged");
  return kind;
}

inline void put_head(writer& to, file_kind kind, const shape& s) {
  to.put(magic, 8);
  to.put(version);
  to.put(kind);
  to.put(s);
}

}  // namespace detail

static_assert(sizeof(shape) == 8 * sizeof(index));

inline bool is_weights(bytes data) {
  return data.size() >= 8 && std::memcmp(data.data(), detail::magic, 8) == 0;
}

inline void save_weights(const model<float>& m, const std::string& path) {
  detail::writer to;
  detail::put_head(to, file_kind::weights, m.shape);
  to.put(m.parameters);
  to.save(path);
}

// The weights of a checkpoint serve as well.
inline model<float> load_weights(bytes data, const std::string& name) {
  detail::reader from(data, name);
  const file_kind kind = detail::head(from, data);
  const auto s = from.get<shape>();
  detail::checked(s, from);
  const auto size = static_cast<std::size_t>(layout(s).size) * sizeof(float);
  if (kind == file_kind::checkpoint) from.get<std::int64_t>(), from.get<std::uint64_t>();
  from.expect((kind == file_kind::checkpoint ? 3 : 1) * size + sizeof(std::uint64_t));
  model<float> m(s);
  from.get(m.parameters);
  return m;
}

inline void save_checkpoint(const training_state<float>& state, std::uint64_t run,
                            const std::string& path) {
  detail::writer to;
  detail::put_head(to, file_kind::checkpoint, state.model.shape);
  to.put(std::int64_t{state.step});
  to.put(run);
  to.put(state.model.parameters);
  to.put(state.mean);
  to.put(state.square);
  to.save(path);
}

// Into a state of the same shape; throws if the file belongs to another run.
inline void load_checkpoint(training_state<float>& state, std::uint64_t run,
                            const std::string& path) {
  const std::vector<unsigned char> data = read_file(path);
  detail::reader from(data, path);
  if (detail::head(from, data) != file_kind::checkpoint) from.fail("it is not a checkpoint");
  const auto s = from.get<shape>();
  const auto step = from.get<std::int64_t>();
  if (from.get<std::uint64_t>() != run || s != state.model.shape)
    from.fail("it belongs to a run with other settings or another text");
  from.expect(3 * state.mean.size() * sizeof(float) + sizeof(std::uint64_t));
  state.step = step;
  from.get(state.model.parameters);
  from.get(state.mean);
  from.get(state.square);
}

// Tells runs apart: the same bytes come out only of the same recipe and text.
inline std::uint64_t run_of(const shape& s, const recipe& r, bytes text) {
  static_assert(std::has_unique_object_representations_v<shape> && sizeof(recipe) % 8 == 0);
  std::uint64_t hash = detail::fnv1a({reinterpret_cast<const unsigned char*>(&s), sizeof s});
  hash = detail::fnv1a({reinterpret_cast<const unsigned char*>(&r), sizeof r}, hash);
  return detail::fnv1a(text, hash);
}

}  // namespace decoder
