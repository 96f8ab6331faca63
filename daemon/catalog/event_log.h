#pragma once

#include <SQLiteCpp/Transaction.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/event.h"

namespace SQLite {
class Database;
}

namespace warmd::detail {

/// Which events there are, known without asking the database. Thread-safe.
class EventLog {
public:
    explicit EventLog(SQLite::Database& database);

    [[nodiscard]] std::int64_t newest() const;
    [[nodiscard]] std::int64_t oldest() const;

    /// See Catalog::wait_for_event.
    bool wait(std::int64_t after, Duration patience, const std::stop_token& stop,
              const std::function<bool()>& also) const;
    void nudge() const;

    /// Call once they are durable.
    void advance(std::int64_t newest);
    /// Removes all but the newest `keep`; part of the caller's transaction.
    void prune(SQLite::Database& database, std::int64_t keep);

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable_any changed_;
    // State below is protected by mutex_.
    std::int64_t newest_ = 0;
    std::int64_t oldest_ = 1;  // one more than newest_: there is none
};

/// A transaction, and the events that belong to it: recorded in it, told of after it. Undone unless committed.
class Change {
public:
    Change(SQLite::Database& database, EventLog& log);

    /// Compares with the row as it is before it is written: without a new state there is no event.
    void note(EventKind kind, const std::string& subject, const TemplateName& template_name, std::string_view state,
              const std::string& reason);
    /// As `note`, for a change that is not one of the state.
    void tell(EventKind kind, const std::string& subject, const TemplateName& template_name, std::string_view state,
              const std::string& reason);
    void commit();

    [[nodiscard]] SQLite::Database& database() { return database_; }

private:
    SQLite::Database& database_;
    EventLog& log_;
    SQLite::Transaction transaction_;
    std::int64_t newest_ = 0;
};

}  // namespace warmd::detail
