#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/operation.h"

namespace warmd {

/// What an event is about.
enum class EventKind { instance, checkpoint, operation, lease };
std::string_view to_string(EventKind kind);
std::optional<EventKind> event_kind_from_string(std::string_view text);

/// Something came to be, or came into another state. Durable: recorded with the change itself.
struct Event {
    std::int64_t id = 0;  // one more than the one before
    Time at;
    EventKind kind = EventKind::instance;
    std::string subject;  // the id of what changed
    TemplateName template_name;
    std::string state;   // as it now is, in the API's words; "deleted" for a removed checkpoint
    std::string reason;  // empty where there is none
};

/// How far an operation is. Not durable.
struct Progress {
    OperationId operation;
    OperationKind kind = OperationKind::warm;
    TemplateName template_name;
    std::string phase;  // that has begun; empty: between two
    Time at;
};

}  // namespace warmd
