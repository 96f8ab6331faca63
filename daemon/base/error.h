#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace warmd {

/// The closed set of reasons for which anything in warmd fails. The names are part of the API: they are
/// the `code` of problem documents and of failed operations.
enum class ErrorCode {
    invalid_argument,    // the request or configuration is wrong; `field` names the part
    not_found,           // no such template, checkpoint, instance, operation or route
    method_not_allowed,  // the resource exists and does not do this
    conflict,            // the resource is in a state that does not allow this
    unauthenticated,     // no token, or not one that is known
    forbidden,           // known, and not allowed to do this
    misdirected,         // a Host that this server does not answer for
    precondition,        // the resource is no longer as If-Match says
    key_reused,          // an Idempotency-Key that came with another request before
    incompatible_host,   // the checkpoint was made on a host that this one differs from too much
    too_large,           // the request is larger than a documented limit
    unsupported_media,   // a body that is not application/json
    no_space,            // the store's file system is full
    busy,                // a queue or a limit is full: try again later
    unavailable,         // Podman cannot be reached
    timeout,             // it did not finish in its time
    cancelled,           // somebody asked for it to stop
    engine_failed,       // Podman, the runtime or CRIU refused or failed; `cause` has their words
    not_ready,           // the application did not become ready
    corrupt,             // stored data does not match its record
    invalid_archive,     // a tarball has in it what no checkpoint may have
    untrusted,           // a checkpoint from elsewhere that nobody whom this host trusts has signed
    interrupted,         // warmd stopped while it was at it
    internal,            // a defect of warmd
};

std::string_view to_string(ErrorCode code);
std::optional<ErrorCode> error_code_from_string(std::string_view text);

/// What every part of warmd throws. `what()` says what was attempted, on what, and why it failed.
class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string& message) : std::runtime_error{message}, code_{code} {}

    /// The next step for the reader.
    Error with_hint(std::string hint) &&;
    /// The part of the request or of the configuration that is wrong, as a path ("env.PATH").
    Error with_field(std::string field) &&;
    /// The words of the program below us (Podman's `cause`), untranslated.
    Error with_cause(std::string cause) &&;

    [[nodiscard]] ErrorCode code() const noexcept { return code_; }
    [[nodiscard]] const std::string& hint() const noexcept { return hint_; }
    [[nodiscard]] const std::string& field() const noexcept { return field_; }
    [[nodiscard]] const std::string& cause() const noexcept { return cause_; }

private:
    ErrorCode code_;
    std::string hint_;
    std::string field_;
    std::string cause_;
};

/// An Error from errno: `no_space` for ENOSPC and EDQUOT, otherwise `fallback`.
Error system_error(std::string_view attempted, int error_number, ErrorCode fallback = ErrorCode::internal);

}  // namespace warmd
