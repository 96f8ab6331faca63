#pragma once

#include <string>
#include <string_view>

#include "daemon/model/checkpoint.h"

namespace warmd {

/// What lies beside a tarball as ID.json: all that the catalog's row says of the checkpoint when its tarball is
/// published, so that a lost catalog can be made again. One JSON object: `format` (1), the members of the row under
/// their columns' names (times and durations in microseconds, times since 1970 UTC), and `sum`, the SHA-256 of the
/// object without it, serialised with sorted members and no white space.
/// State, reason and what changes later are not in it: a manifest and its tarball are an available checkpoint.
std::string encode_manifest(const Checkpoint& checkpoint);

/// The reverse; the state is `available`. Unknown members are passed over. Throws Error{corrupt} for another format and
/// for what is damaged in whatever way.
Checkpoint decode_manifest(std::string_view text);

}  // namespace warmd
