#include "daemon/catalog/event_log.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>

namespace warmd::detail {

EventLog::EventLog(SQLite::Database& database)
{
    // Not max(id): ids are never given out again, even when all rows are gone.
    newest_ = database.execAndGet("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'").getInt64();
    SQLite::Statement oldest{database, "SELECT coalesce(min(id), ?) FROM event"};
    oldest.bind(1, newest_ + 1);
    oldest.executeStep();
    oldest_ = oldest.getColumn(0).getInt64();
}

std::int64_t EventLog::newest() const
{
    const std::scoped_lock lock{mutex_};
    return newest_;
}

std::int64_t EventLog::oldest() const
{
    const std::scoped_lock lock{mutex_};
    return oldest_;
}

bool EventLog::wait(std::int64_t after, Duration patience, const std::stop_token& stop,
                    const std::function<bool()>& also) const
{
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, stop, patience, [&] { return newest_ > after || (also && also()); });
}

void EventLog::nudge() const
{
    // Under the mutex, so that it cannot fall between a waiter's look and its sleep.
    const std::scoped_lock lock{mutex_};
    changed_.notify_all();
}

void EventLog::advance(std::int64_t newest)
{
    const std::scoped_lock lock{mutex_};
    newest_ = std::max(newest_, newest);
    changed_.notify_all();
}

void EventLog::prune(SQLite::Database& database, std::int64_t keep)
{
    const std::int64_t first = newest() - keep + 1;
    SQLite::Statement remove{database, "DELETE FROM event WHERE id < ?"};
    remove.bind(1, first);
    remove.exec();
    const std::scoped_lock lock{mutex_};
    oldest_ = std::max(oldest_, first);
}

Change::Change(SQLite::Database& database, EventLog& log)
    : database_{database}, log_{log}, transaction_{database, SQLite::TransactionBehavior::IMMEDIATE}
{
}

void Change::note(EventKind kind, const std::string& subject, const TemplateName& template_name, std::string_view state,
                  const std::string& reason)
{
    const std::string table{to_string(kind)};  // the tables have the kinds' names
    SQLite::Statement before{database_, "SELECT state FROM " + table + " WHERE id = ?"};
    before.bind(1, subject);
    if (before.executeStep() && before.getColumn(0).getString() == state) return;
    tell(kind, subject, template_name, state, reason);
}

void Change::tell(EventKind kind, const std::string& subject, const TemplateName& template_name, std::string_view state,
                  const std::string& reason)
{
    SQLite::Statement insert{
        database_, "INSERT INTO event (at, kind, subject, template, state, reason) VALUES (?, ?, ?, ?, ?, ?)"};
    insert.bind(1, std::int64_t{SystemClock{}.now().time_since_epoch().count()});
    insert.bind(2, std::string{to_string(kind)});
    insert.bind(3, subject);
    insert.bind(4, template_name.value());
    insert.bind(5, std::string{state});
    insert.bind(6, reason);
    insert.exec();
    newest_ = database_.getLastInsertRowid();
}

void Change::commit()
{
    transaction_.commit();
    if (newest_ > 0) log_.advance(newest_);
}

}  // namespace warmd::detail
