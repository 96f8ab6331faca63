#include "daemon/base/error.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "daemon/base/enum_names.h"

namespace warmd {

namespace {

constexpr EnumNames<ErrorCode, 24> kNames{{{
    {ErrorCode::invalid_argument, "invalid_argument"},
    {ErrorCode::not_found, "not_found"},
    {ErrorCode::method_not_allowed, "method_not_allowed"},
    {ErrorCode::conflict, "conflict"},
    {ErrorCode::unauthenticated, "unauthenticated"},
    {ErrorCode::forbidden, "forbidden"},
    {ErrorCode::misdirected, "misdirected"},
    {ErrorCode::precondition, "precondition"},
    {ErrorCode::key_reused, "key_reused"},
    {ErrorCode::incompatible_host, "incompatible_host"},
    {ErrorCode::too_large, "too_large"},
    {ErrorCode::unsupported_media, "unsupported_media"},
    {ErrorCode::no_space, "no_space"},
    {ErrorCode::busy, "busy"},
    {ErrorCode::unavailable, "unavailable"},
    {ErrorCode::timeout, "timeout"},
    {ErrorCode::cancelled, "cancelled"},
    {ErrorCode::engine_failed, "engine_failed"},
    {ErrorCode::not_ready, "not_ready"},
    {ErrorCode::corrupt, "corrupt"},
    {ErrorCode::invalid_archive, "invalid_archive"},
    {ErrorCode::untrusted, "untrusted"},
    {ErrorCode::interrupted, "interrupted"},
    {ErrorCode::internal, "internal"},
}}};

}  // namespace

std::string_view to_string(ErrorCode code) { return kNames.name(code); }

std::optional<ErrorCode> error_code_from_string(std::string_view text) { return kNames.value(text); }

Error Error::with_hint(std::string hint) &&
{
    hint_ = std::move(hint);
    return std::move(*this);
}

Error Error::with_field(std::string field) &&
{
    field_ = std::move(field);
    return std::move(*this);
}

Error Error::with_cause(std::string cause) &&
{
    cause_ = std::move(cause);
    return std::move(*this);
}

Error system_error(std::string_view attempted, int error_number, ErrorCode fallback)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT;
    return Error{full ? ErrorCode::no_space : fallback,
                 std::string{attempted} + ": " + std::generic_category().message(error_number)};
}

}  // namespace warmd
