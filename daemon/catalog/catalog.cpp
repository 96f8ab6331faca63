#include "daemon/catalog/catalog.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/catalog/disk_reserve.h"
#include "daemon/catalog/event_log.h"
#include "daemon/catalog/migrations.h"

namespace warmd {

struct detail::Storage {
    std::unique_ptr<SQLite::Database> database;
    DiskReserve reserve;
    std::string damage;  // that was found since it was opened
};

namespace {

constexpr std::int64_t kKeptEvents = 10'000;

using detail::Change;
using SQLite::Database;
using SQLite::Statement;

constexpr const char* kMendCatalog = "systemctl restart warmd: it moves a damaged catalog aside and makes another from "
                                     "the manifests beside the tarballs";

bool is_damage(const SQLite::Exception& error)
{
    return error.getErrorCode() == SQLITE_CORRUPT || error.getErrorCode() == SQLITE_NOTADB;
}

/// What the system said when the log, or the database itself, could not be read or written.
int last_errno(Database& database)
{
    int number = 0;
    sqlite3_file* log = nullptr;
    sqlite3_file_control(database.getHandle(), nullptr, SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log != nullptr && log->pMethods != nullptr) {
        log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
    }
    if (number == 0) sqlite3_file_control(database.getHandle(), nullptr, SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

/// SQLite itself takes only ENOSPC of a write() for a full disk: not a quota, and not what fsync() says.
bool is_full(const SQLite::Exception& error, Database& database)
{
    if (error.getErrorCode() != SQLITE_IOERR) return error.getErrorCode() == SQLITE_FULL;
    const int number = last_errno(database);
    return number == ENOSPC || number == EDQUOT;
}

[[noreturn]] void translate(const SQLite::Exception& error, Database& database)
{
    if (is_damage(error)) {
        throw Error{ErrorCode::corrupt, "the catalog is damaged"}.with_cause(error.what()).with_hint(kMendCatalog);
    }
    throw Error{is_full(error, database) ? ErrorCode::no_space : ErrorCode::internal, "the catalog failed"}.with_cause(
        error.what());
}

/// `fn` changes nothing when it throws: it can be called again.
template <typename Fn>
auto guarded(Guarded<detail::Storage>& guarded_storage, Fn&& fn)
{
    return guarded_storage.with([&fn](detail::Storage& storage) {
        for (;;) {
            try {
                return fn(*storage.database);
            } catch (const SQLite::Exception& error) {
                if (is_damage(error)) storage.damage = error.what();
                if (is_full(error, *storage.database) && storage.reserve.give_up()) continue;
                translate(error, *storage.database);
            } catch (const Error& error) {  // of `word`
                if (error.code() == ErrorCode::corrupt) storage.damage = error.what();
                throw;
            }
        }
    });
}

std::int64_t to_column(Time time) { return time.time_since_epoch().count(); }
Time time_from(const SQLite::Column& column) { return Time{Duration{column.getInt64()}}; }

std::optional<Time> optional_time_from(const SQLite::Column& column)
{
    if (column.isNull()) return std::nullopt;
    return time_from(column);
}

/// Binds positional parameters, one call for a whole row.
class Binder {
public:
    explicit Binder(Statement& statement) : statement_{statement} {}
    Binder& operator<<(const std::string& value)
    {
        statement_.bind(++position_, value);
        return *this;
    }
    Binder& operator<<(std::string_view value) { return *this << std::string{value}; }
    Binder& operator<<(std::int64_t value)
    {
        statement_.bind(++position_, value);
        return *this;
    }
    Binder& operator<<(Time value) { return *this << to_column(value); }
    Binder& operator<<(const std::optional<Time>& value)
    {
        if (value) return *this << *value;
        statement_.bind(++position_);
        return *this;
    }

private:
    Statement& statement_;
    int position_ = 0;
};

/// A word that the catalog itself wrote: another one is damage.
template <typename Enum>
Enum word(std::optional<Enum> parsed, const SQLite::Column& column)
{
    if (parsed) return *parsed;
    throw Error{ErrorCode::corrupt, "the catalog holds an unknown word"}
        .with_cause(column.getString())
        .with_hint(kMendCatalog);
}

void write_phases(Database& database, const std::string& owner, const Phases& phases)
{
    Statement clear{database, "DELETE FROM phase WHERE owner = ?"};
    Binder{clear} << owner;
    clear.exec();
    std::int64_t position = 0;
    for (const Phase& phase : phases) {
        Statement insert{database,
                         "INSERT INTO phase (owner, position, name, started_at, elapsed) VALUES (?, ?, ?, ?, ?)"};
        Binder{insert} << owner << position++ << phase.name << phase.started_at
                       << static_cast<std::int64_t>(phase.elapsed.count());
        insert.exec();
    }
}

Phases read_phases(Database& database, const std::string& owner)
{
    Statement query{database, "SELECT name, started_at, elapsed FROM phase WHERE owner = ? ORDER BY position"};
    Binder{query} << owner;
    Phases phases;
    while (query.executeStep()) {
        phases.push_back({.name = query.getColumn(0).getString(),
                          .started_at = time_from(query.getColumn(1)),
                          .elapsed = Duration{query.getColumn(2).getInt64()}});
    }
    return phases;
}

constexpr const char* kCheckpointColumns =
    "id, template, template_digest, state, reason, source, image, image_id, size_bytes, sha256, created_at, "
    "available_at, agent_socket, verified_at, canary, pinned, used_at";

Checkpoint read_checkpoint(Database& database, Statement& row)
{
    Checkpoint checkpoint;
    checkpoint.id = CheckpointId{row.getColumn(0).getString()};
    checkpoint.template_name = TemplateName{row.getColumn(1).getString()};
    checkpoint.template_digest = row.getColumn(2).getString();
    checkpoint.state = word(checkpoint_state_from_string(row.getColumn(3).getString()), row.getColumn(3));
    checkpoint.reason = row.getColumn(4).getString();
    checkpoint.source = InstanceId{row.getColumn(5).getString()};
    checkpoint.image = row.getColumn(6).getString();
    checkpoint.image_id = row.getColumn(7).getString();
    checkpoint.size_bytes = static_cast<std::uint64_t>(row.getColumn(8).getInt64());
    checkpoint.sha256 = row.getColumn(9).getString();
    checkpoint.created_at = time_from(row.getColumn(10));
    checkpoint.available_at = optional_time_from(row.getColumn(11));
    checkpoint.agent_socket = row.getColumn(12).getString();
    checkpoint.verified_at = optional_time_from(row.getColumn(13));
    checkpoint.canary = row.getColumn(14).getString();
    checkpoint.pinned = row.getColumn(15).getInt() != 0;
    checkpoint.used_at = optional_time_from(row.getColumn(16));
    checkpoint.phases = read_phases(database, checkpoint.id.value());
    Statement environment{database, "SELECT name, value FROM environment WHERE checkpoint = ?"};
    Binder{environment} << checkpoint.id.value();
    while (environment.executeStep()) {
        checkpoint.environment.emplace(environment.getColumn(0).getString(), environment.getColumn(1).getString());
    }
    Statement statistics{database, "SELECT name, value FROM statistic WHERE checkpoint = ?"};
    Binder{statistics} << checkpoint.id.value();
    while (statistics.executeStep()) {
        checkpoint.statistics.emplace(statistics.getColumn(0).getString(), statistics.getColumn(1).getInt64());
    }
    return checkpoint;
}

void mark_used(Database& database, const CheckpointId& id, Time now)
{
    Statement used{database, "UPDATE checkpoint SET used_at = ? WHERE id = ?"};
    Binder{used} << now << id.value();
    used.exec();
}

void set_checkpoint_state(Change& change, const Checkpoint& checkpoint, CheckpointState state,
                          const std::string& reason)
{
    change.note(EventKind::checkpoint, checkpoint.id.value(), checkpoint.template_name, to_string(state), reason);
    Statement update{change.database(), "UPDATE checkpoint SET state = ?, reason = ? WHERE id = ?"};
    Binder{update} << to_string(state) << reason << checkpoint.id.value();
    update.exec();
}

constexpr const char* kInstanceColumns =
    "id, template, state, reason, origin, checkpoint, container, created_at, terminated_at, agent_socket, path, pooled";

Instance read_instance(Database& database, Statement& row)
{
    Instance instance;
    instance.id = InstanceId{row.getColumn(0).getString()};
    instance.template_name = TemplateName{row.getColumn(1).getString()};
    instance.state = word(instance_state_from_string(row.getColumn(2).getString()), row.getColumn(2));
    instance.reason = row.getColumn(3).getString();
    instance.origin = word(origin_from_string(row.getColumn(4).getString()), row.getColumn(4));
    instance.checkpoint = CheckpointId{row.getColumn(5).getString()};
    instance.container = ContainerId{row.getColumn(6).getString()};
    instance.created_at = time_from(row.getColumn(7));
    instance.terminated_at = optional_time_from(row.getColumn(8));
    instance.agent_socket = row.getColumn(9).getString();
    instance.path = word(instance_path_from_string(row.getColumn(10).getString()), row.getColumn(10));
    instance.pooled = row.getColumn(11).getInt() != 0;
    instance.phases = read_phases(database, instance.id.value());
    return instance;
}

void write_instance(Change& change, const Instance& instance)
{
    change.note(EventKind::instance, instance.id.value(), instance.template_name, to_string(instance.state),
                instance.reason);
    Database& database = change.database();
    Statement insert{database, std::string{"INSERT OR REPLACE INTO instance ("} + kInstanceColumns +
                                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"};
    Binder{insert} << instance.id.value() << instance.template_name.value() << to_string(instance.state)
                   << instance.reason << to_string(instance.origin) << instance.checkpoint.value()
                   << instance.container.value() << instance.created_at << instance.terminated_at
                   << instance.agent_socket << to_string(instance.path) << std::int64_t{instance.pooled};
    insert.exec();
    write_phases(database, instance.id.value(), instance.phases);
}

constexpr const char* kLeaseColumns =
    "id, template, instance, state, path, ttl, created_at, expires_at, ended_at, elapsed";

Lease read_lease(Database&, Statement& row)
{
    Lease lease;
    lease.id = LeaseId{row.getColumn(0).getString()};
    lease.template_name = TemplateName{row.getColumn(1).getString()};
    lease.instance = InstanceId{row.getColumn(2).getString()};
    lease.state = word(lease_state_from_string(row.getColumn(3).getString()), row.getColumn(3));
    lease.path = word(instance_path_from_string(row.getColumn(4).getString()), row.getColumn(4));
    lease.ttl = Duration{row.getColumn(5).getInt64()};
    lease.created_at = time_from(row.getColumn(6));
    lease.expires_at = time_from(row.getColumn(7));
    lease.ended_at = optional_time_from(row.getColumn(8));
    lease.elapsed = Duration{row.getColumn(9).getInt64()};
    return lease;
}

void write_lease(Change& change, const Lease& lease, const std::string& reason)
{
    change.note(EventKind::lease, lease.id.value(), lease.template_name, to_string(lease.state), reason);
    Database& database = change.database();
    Statement insert{database, std::string{"INSERT OR REPLACE INTO lease ("} + kLeaseColumns +
                                   ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"};
    Binder{insert} << lease.id.value() << lease.template_name.value() << lease.instance.value()
                   << to_string(lease.state) << to_string(lease.path) << std::int64_t{lease.ttl.count()}
                   << lease.created_at << lease.expires_at << lease.ended_at << std::int64_t{lease.elapsed.count()};
    insert.exec();
}

constexpr const char* kOperationColumns =
    "id, kind, state, template, instance, checkpoint, phase, created_at, started_at, finished_at, error_code, "
    "error_message, error_hint, error_field, error_cause";

void write_deletions(Database& database, const Operation& operation)
{
    std::int64_t position = 0;
    for (const Deletion& deletion : operation.deletions) {
        Statement insert{database,
                         "INSERT INTO deletion (operation, position, checkpoint, template, state, size_bytes, "
                         "created_at, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"};
        Binder{insert} << operation.id.value() << position++ << deletion.checkpoint.value()
                       << deletion.template_name.value() << to_string(deletion.state)
                       << static_cast<std::int64_t>(deletion.size_bytes) << deletion.created_at
                       << to_string(deletion.reason);
        insert.exec();
    }
}

std::vector<Deletion> read_deletions(Database& database, const OperationId& operation)
{
    Statement row{
        database,
        "SELECT checkpoint, template, state, size_bytes, created_at, reason FROM deletion WHERE operation = ? "
        "ORDER BY position"};
    Binder{row} << operation.value();
    std::vector<Deletion> deletions;
    while (row.executeStep()) {
        deletions.push_back(
            {.checkpoint = CheckpointId{row.getColumn(0).getString()},
             .template_name = TemplateName{row.getColumn(1).getString()},
             .state = word(checkpoint_state_from_string(row.getColumn(2).getString()), row.getColumn(2)),
             .size_bytes = static_cast<std::uint64_t>(row.getColumn(3).getInt64()),
             .created_at = time_from(row.getColumn(4)),
             .reason = word(deletion_reason_from_string(row.getColumn(5).getString()), row.getColumn(5))});
    }
    return deletions;
}

Operation read_operation(Database& database, Statement& row)
{
    Operation operation;
    operation.id = OperationId{row.getColumn(0).getString()};
    operation.kind = word(operation_kind_from_string(row.getColumn(1).getString()), row.getColumn(1));
    operation.state = word(operation_state_from_string(row.getColumn(2).getString()), row.getColumn(2));
    operation.template_name = TemplateName{row.getColumn(3).getString()};
    operation.instance = InstanceId{row.getColumn(4).getString()};
    operation.checkpoint = CheckpointId{row.getColumn(5).getString()};
    operation.phase = row.getColumn(6).getString();
    operation.created_at = time_from(row.getColumn(7));
    operation.started_at = optional_time_from(row.getColumn(8));
    operation.finished_at = optional_time_from(row.getColumn(9));
    if (const std::string code = row.getColumn(10).getString(); !code.empty()) {
        operation.error = Error{word(error_code_from_string(code), row.getColumn(10)), row.getColumn(11).getString()}
                              .with_hint(row.getColumn(12).getString())
                              .with_field(row.getColumn(13).getString())
                              .with_cause(row.getColumn(14).getString());
    }
    operation.phases = read_phases(database, operation.id.value());
    operation.deletions = read_deletions(database, operation.id);
    return operation;
}

void write_key(Database& database, const RequestKey& key, const std::string& subject, Time created_at)
{
    Statement insert{database,
                     "INSERT INTO idempotency (caller, key, fingerprint, subject, created_at) VALUES (?, ?, ?, ?, ?)"};
    Binder{insert} << key.caller << key.key << key.fingerprint << subject << created_at;
    insert.exec();
}

/// The rows of `table` that fulfil `condition`, newest first. `condition` takes `parameters`, then the page.
template <typename Read>
auto read_page(Database& database, Read&& read, const std::string& table, const char* columns,
               const std::string& condition, const std::vector<std::string>& parameters, const Page& page)
{
    Statement query{database, std::string{"SELECT "} + columns + " FROM " + table + " WHERE (" + condition +
                                  ") AND (? = '' OR id < ?) ORDER BY id DESC LIMIT ?"};
    Binder binder{query};
    for (const std::string& parameter : parameters) binder << parameter;
    binder << page.before << page.before << std::int64_t{page.limit};
    std::vector<decltype(read(database, query))> rows;
    while (query.executeStep()) rows.push_back(read(database, query));
    return rows;
}

template <typename Read>
auto read_one(Database& database, Read&& read, const std::string& table, const char* columns, const std::string& id)
{
    auto rows = read_page(database, std::forward<Read>(read), table, columns, "id = ?", {id}, Page::all());
    return rows.empty() ? std::nullopt : std::optional{std::move(rows.front())};
}

template <typename T>
T require(std::optional<T> row, const char* kind, const std::string& id, const char* list)
{
    if (row) return *std::move(row);
    throw Error{ErrorCode::not_found, std::string{"no "} + kind + " \"" + id + "\""}.with_hint(std::string{"GET "} +
                                                                                               list + " lists them");
}

/// Reads whatever the services read at their start. SQLite keeps no sums: damage within a value shows only here.
void read_through(Database& database)
{
    read_page(database, read_checkpoint, "checkpoint", kCheckpointColumns, "1", {}, Page::all());
    read_page(database, read_instance, "instance", kInstanceColumns, "state <> 'terminated'", {}, Page::all());
    read_page(database, read_operation, "operation", kOperationColumns, "state IN ('queued', 'running')", {},
              Page::all());
    read_page(database, read_lease, "lease", kLeaseColumns, "state = 'active'", {}, Page::all());
}

Instance move_instance(Change& change, const InstanceId& id, const std::vector<InstanceState>& from, InstanceState to,
                       const std::string& reason)
{
    Instance instance = require(read_one(change.database(), read_instance, "instance", kInstanceColumns, id.value()),
                                "instance", id.value(), "/v1/instances");
    if (std::find(from.begin(), from.end(), instance.state) == from.end()) {
        const std::string why = instance.reason.empty() ? std::string{} : " (" + instance.reason + ")";
        throw Error{ErrorCode::conflict,
                    "instance " + id.value() + " is " + std::string{to_string(instance.state)} + why}
            .with_hint("GET /v1/instances lists the instances and their states");
    }
    instance.state = to;
    instance.reason = reason;
    write_instance(change, instance);
    return instance;
}

}  // namespace

Catalog::Catalog(const std::string& path)
{
    const detail::DiskReserve reserve{path == ":memory:" ? "" : path + ".reserve"};
    const auto damaged = [&path](const std::string& cause) {
        return Error{ErrorCode::corrupt, "the catalog " + path + " is damaged"}.with_cause(cause).with_hint(
            "move the file away; warmd then makes another from the manifests beside the tarballs");
    };
    bool migrated = false;
    try {
        auto database = std::make_unique<Database>(
            path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOFOLLOW, /*busyTimeout ms*/ 5000);
        database->exec(
            "PRAGMA locking_mode = EXCLUSIVE");  // before WAL: then no memory is shared, and no second reader let in
        database->exec("PRAGMA journal_mode = WAL");
        database->exec("PRAGMA synchronous = FULL");
        database->exec("PRAGMA foreign_keys = ON");
        if (const std::string verdict = database->execAndGet("PRAGMA quick_check(1)").getString(); verdict != "ok") {
            throw damaged(verdict);
        }
        detail::migrate(*database);
        migrated = true;
        events_ = std::make_unique<detail::EventLog>(*database);
        read_through(*database);
        reserve.take();
        database_ = std::make_unique<Guarded<detail::Storage>>(
            detail::Storage{.database = std::move(database), .reserve = reserve, .damage = {}});
    } catch (const SQLite::Exception& error) {
        const int code = error.getErrorCode();
        if (code == SQLITE_FULL) reserve.give_up();  // the next start gets further
        // With the schema of this version all that is read is there: what is not is damage.
        if (is_damage(error) || (migrated && code == SQLITE_ERROR)) throw damaged(error.what());
        throw Error{ErrorCode::internal, "cannot open the catalog " + path}
            .with_cause(error.what())
            .with_hint("the directory must exist and be writable for root");
    } catch (const Error& error) {
        if (migrated && error.code() == ErrorCode::corrupt) throw damaged(error.what() + (": " + error.cause()));
        throw;
    }
}

Catalog::~Catalog() = default;

void Catalog::save(const Checkpoint& checkpoint)
{
    guarded(*database_, [this, &checkpoint](Database& database) {
        Change change{database, *events_};
        change.note(EventKind::checkpoint, checkpoint.id.value(), checkpoint.template_name, to_string(checkpoint.state),
                    checkpoint.reason);
        bool pinned = checkpoint.pinned;
        std::optional<Time> used_at = checkpoint.used_at;
        {
            Statement kept{database, "SELECT pinned, used_at FROM checkpoint WHERE id = ?"};
            Binder{kept} << checkpoint.id.value();
            if (kept.executeStep()) {
                pinned = kept.getColumn(0).getInt() != 0;
                used_at = optional_time_from(kept.getColumn(1));
            }
        }
        // Deleted first: what belongs to the old row goes with it.
        Statement old{database, "DELETE FROM checkpoint WHERE id = ?"};
        Binder{old} << checkpoint.id.value();
        old.exec();
        Statement insert{database, std::string{"INSERT INTO checkpoint ("} + kCheckpointColumns +
                                       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"};
        Binder{insert} << checkpoint.id.value() << checkpoint.template_name.value() << checkpoint.template_digest
                       << to_string(checkpoint.state) << checkpoint.reason << checkpoint.source.value()
                       << checkpoint.image << checkpoint.image_id << static_cast<std::int64_t>(checkpoint.size_bytes)
                       << checkpoint.sha256 << checkpoint.created_at << checkpoint.available_at
                       << checkpoint.agent_socket << checkpoint.verified_at << checkpoint.canary << std::int64_t{pinned}
                       << used_at;
        insert.exec();
        write_phases(database, checkpoint.id.value(), checkpoint.phases);
        for (const auto& [name, value] : checkpoint.environment) {
            Statement row{database, "INSERT INTO environment (checkpoint, name, value) VALUES (?, ?, ?)"};
            Binder{row} << checkpoint.id.value() << name << value;
            row.exec();
        }
        for (const auto& [name, value] : checkpoint.statistics) {
            Statement row{database, "INSERT INTO statistic (checkpoint, name, value) VALUES (?, ?, ?)"};
            Binder{row} << checkpoint.id.value() << name << value;
            row.exec();
        }
        change.commit();
    });
}

void Catalog::save(const Instance& instance)
{
    guarded(*database_, [this, &instance](Database& database) {
        Change change{database, *events_};
        write_instance(change, instance);
        change.commit();
    });
}

void Catalog::save(const Operation& operation, const std::optional<RequestKey>& key)
{
    guarded(*database_, [this, &operation, &key](Database& database) {
        Change change{database, *events_};
        change.note(EventKind::operation, operation.id.value(), operation.template_name, to_string(operation.state),
                    operation.error ? operation.error->what() : "");
        Statement insert{database, std::string{"INSERT OR REPLACE INTO operation ("} + kOperationColumns +
                                       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"};
        const auto error = [&operation](const std::string& (Error::*part)() const noexcept) {
            return operation.error ? ((*operation.error).*part)() : std::string{};
        };
        Binder{insert} << operation.id.value() << to_string(operation.kind) << to_string(operation.state)
                       << operation.template_name.value() << operation.instance.value() << operation.checkpoint.value()
                       << operation.phase << operation.created_at << operation.started_at << operation.finished_at
                       << (operation.error ? to_string(operation.error->code()) : std::string_view{})
                       << std::string_view{operation.error ? operation.error->what() : ""} << error(&Error::hint)
                       << error(&Error::field) << error(&Error::cause);
        insert.exec();
        write_phases(database, operation.id.value(), operation.phases);
        write_deletions(database, operation);
        if (key) write_key(database, *key, operation.id.value(), operation.created_at);
        change.commit();
    });
}

std::optional<Checkpoint> Catalog::find(const CheckpointId& id) const
{
    return guarded(*database_, [&id](Database& database) {
        return read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id.value());
    });
}

std::optional<Instance> Catalog::find(const InstanceId& id) const
{
    return guarded(*database_, [&id](Database& database) {
        return read_one(database, read_instance, "instance", kInstanceColumns, id.value());
    });
}

std::optional<Operation> Catalog::find(const OperationId& id) const
{
    return guarded(*database_, [&id](Database& database) {
        return read_one(database, read_operation, "operation", kOperationColumns, id.value());
    });
}

Checkpoint Catalog::get(const CheckpointId& id) const
{
    return require(find(id), "checkpoint", id.value(), "/v1/checkpoints");
}

Instance Catalog::get(const InstanceId& id) const { return require(find(id), "instance", id.value(), "/v1/instances"); }

Operation Catalog::get(const OperationId& id) const
{
    return require(find(id), "operation", id.value(), "/v1/operations");
}

Lease Catalog::get(const LeaseId& id) const
{
    return require(guarded(*database_,
                           [&id](Database& database) {
                               return read_one(database, read_lease, "lease", kLeaseColumns, id.value());
                           }),
                   "lease", id.value(), "/v1/leases");
}

Instance Catalog::transition(const InstanceId& id, const std::vector<InstanceState>& from, InstanceState to,
                             const std::string& reason)
{
    return guarded(*database_, [&](Database& database) {
        Change change{database, *events_};
        Instance instance = move_instance(change, id, from, to, reason);
        change.commit();
        return instance;
    });
}

Checkpoint Catalog::transition(const CheckpointId& id, const std::vector<CheckpointState>& from, CheckpointState to,
                               const std::string& reason)
{
    return guarded(*database_, [&](Database& database) {
        Change change{database, *events_};
        Checkpoint checkpoint = require(
            read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id.value()), "checkpoint", id.value(),
            "/v1/checkpoints");
        if (std::find(from.begin(), from.end(), checkpoint.state) == from.end()) {
            throw Error{ErrorCode::conflict,
                        "checkpoint " + id.value() + " is " + std::string{to_string(checkpoint.state)}}
                .with_hint("GET /v1/checkpoints lists the checkpoints and their states");
        }
        checkpoint.state = to;
        checkpoint.reason = reason;
        change.note(EventKind::checkpoint, id.value(), checkpoint.template_name, to_string(to), reason);
        Statement update{database, "UPDATE checkpoint SET state = ?, reason = ? WHERE id = ?"};
        Binder{update} << to_string(to) << reason << id.value();
        update.exec();
        change.commit();
        return checkpoint;
    });
}

void Catalog::set_verified(const CheckpointId& id, Time at)
{
    guarded(*database_, [&](Database& database) {
        Statement update{database, "UPDATE checkpoint SET verified_at = ? WHERE id = ?"};
        Binder{update} << at << id.value();
        update.exec();
    });
}

void Catalog::begin_restore(const Instance& instance)
{
    guarded(*database_, [this, &instance](Database& database) {
        Change change{database, *events_};
        const std::string& id = instance.checkpoint.value();
        const Checkpoint from = require(read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id),
                                        "checkpoint", id, "/v1/checkpoints");
        if (from.state != CheckpointState::available) {
            throw Error{ErrorCode::conflict, "checkpoint " + id + " is " + std::string{to_string(from.state)}}
                .with_cause(from.reason)
                .with_hint("GET /v1/checkpoints lists those that are available");
        }
        mark_used(database, from.id, instance.created_at);
        write_instance(change, instance);
        change.commit();
    });
}

Checkpoint Catalog::set_pinned(const CheckpointId& id, bool pinned)
{
    return guarded(*database_, [this, &id, pinned](Database& database) {
        Change change{database, *events_};
        Checkpoint checkpoint = require(
            read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id.value()), "checkpoint", id.value(),
            "/v1/checkpoints");
        if (checkpoint.pinned == pinned) return checkpoint;
        const bool keepable = checkpoint.state == CheckpointState::available ||
                              checkpoint.state == CheckpointState::quarantined;
        if (pinned && !keepable) {
            throw Error{ErrorCode::conflict,
                        "checkpoint " + id.value() + " is " + std::string{to_string(checkpoint.state)}}
                .with_hint("only what is available or quarantined can be pinned");
        }
        checkpoint.pinned = pinned;
        change.tell(EventKind::checkpoint, id.value(), checkpoint.template_name, to_string(checkpoint.state),
                    pinned ? "it was pinned" : "it was unpinned");
        Statement update{database, "UPDATE checkpoint SET pinned = ? WHERE id = ?"};
        Binder{update} << std::int64_t{pinned} << id.value();
        update.exec();
        change.commit();
        return checkpoint;
    });
}

Checkpoint Catalog::begin_deletion(const CheckpointId& id, const std::string& reason, bool spare_used)
{
    return guarded(*database_, [&](Database& database) {
        Change change{database, *events_};
        Checkpoint checkpoint = require(
            read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id.value()), "checkpoint", id.value(),
            "/v1/checkpoints");
        require_deletable(checkpoint);
        if (spare_used && checkpoint.state == CheckpointState::deleting) {
            throw Error{ErrorCode::conflict, "checkpoint " + id.value() + " is being deleted"};
        }
        if (spare_used) {
            Statement live{database, "SELECT id FROM instance WHERE checkpoint = ? AND state <> 'terminated' LIMIT 1"};
            Binder{live} << id.value();
            if (live.executeStep()) {
                throw Error{ErrorCode::conflict, "instance " + live.getColumn(0).getString() +
                                                     " was restored from checkpoint " + id.value() + " and lives"};
            }
        }
        set_checkpoint_state(change, checkpoint, CheckpointState::deleting, reason);
        change.commit();
        return checkpoint;
    });
}

Instance Catalog::begin(const Lease& lease, const std::optional<RequestKey>& key)
{
    return guarded(*database_, [&](Database& database) {
        Change change{database, *events_};
        Instance instance = move_instance(change, lease.instance, {InstanceState::idle}, InstanceState::leased, {});
        write_lease(change, lease, {});
        mark_used(database, instance.checkpoint, lease.created_at);
        if (key) write_key(database, *key, lease.id.value(), lease.created_at);
        change.commit();
        return instance;
    });
}

std::optional<Instance> Catalog::end(const Lease& lease, const std::string& reason)
{
    return guarded(*database_, [&](Database& database) {
        Change change{database, *events_};
        write_lease(change, lease, reason);
        auto instance = read_one(database, read_instance, "instance", kInstanceColumns, lease.instance.value());
        if (instance && instance->state == InstanceState::leased) {
            instance->state = InstanceState::draining;
            instance->reason = reason;
            write_instance(change, *instance);
        } else {
            instance.reset();
        }
        change.commit();
        return instance;
    });
}

std::vector<Lease> Catalog::leases(const Page& page, bool with_ended) const
{
    return guarded(*database_, [&](Database& database) {
        return read_page(database, read_lease, "lease", kLeaseColumns, with_ended ? "1" : "state = 'active'", {}, page);
    });
}

std::vector<Checkpoint> Catalog::checkpoints(const Page& page, const TemplateName& template_name) const
{
    return guarded(*database_, [&](Database& database) {
        return read_page(database, read_checkpoint, "checkpoint", kCheckpointColumns, "? = '' OR template = ?",
                         {template_name.value(), template_name.value()}, page);
    });
}

std::vector<Instance> Catalog::instances(const Page& page, bool with_terminated) const
{
    return guarded(*database_, [&](Database& database) {
        return read_page(database, read_instance, "instance", kInstanceColumns,
                         with_terminated ? "1" : "state <> 'terminated'", {}, page);
    });
}

std::vector<Operation> Catalog::operations(const Page& page) const
{
    return guarded(*database_, [&](Database& database) {
        return read_page(database, read_operation, "operation", kOperationColumns, "1", {}, page);
    });
}

std::vector<Operation> Catalog::unfinished_operations() const
{
    return guarded(*database_, [](Database& database) {
        return read_page(database, read_operation, "operation", kOperationColumns, "state IN ('queued', 'running')", {},
                         Page::all());
    });
}

std::optional<Checkpoint> Catalog::newest_available(const TemplateName& template_name, const std::string& digest,
                                                    const std::function<bool(const Checkpoint&)>& fits) const
{
    Page page{.limit = 1};
    while (true) {
        auto rows = guarded(*database_, [&](Database& database) {
            return read_page(database, read_checkpoint, "checkpoint", kCheckpointColumns,
                             "template = ? AND template_digest = ? AND state = 'available'",
                             {template_name.value(), digest}, page);
        });
        if (rows.empty()) return std::nullopt;
        if (!fits || fits(rows.front())) return std::move(rows.front());
        page.before = rows.front().id.value();
    }
}

void Catalog::erase(const CheckpointId& id, const std::string& reason)
{
    guarded(*database_, [this, &id, &reason](Database& database) {
        Change change{database, *events_};
        const auto old = read_one(database, read_checkpoint, "checkpoint", kCheckpointColumns, id.value());
        if (old) change.note(EventKind::checkpoint, id.value(), old->template_name, "deleted", reason);
        write_phases(database, id.value(), {});
        Statement row{database, "DELETE FROM checkpoint WHERE id = ?"};
        Binder{row} << id.value();
        row.exec();
        change.commit();
    });
}

std::optional<Catalog::Begun> Catalog::find(const RequestKey& key) const
{
    return guarded(*database_, [&key](Database& database) -> std::optional<Begun> {
        Statement query{database, "SELECT fingerprint, subject FROM idempotency WHERE caller = ? AND key = ?"};
        Binder{query} << key.caller << key.key;
        if (!query.executeStep()) return std::nullopt;
        return Begun{.fingerprint = query.getColumn(0).getString(), .subject = query.getColumn(1).getString()};
    });
}

void Catalog::prune_keys(Time oldest, int keep)
{
    guarded(*database_, [oldest, keep](Database& database) {
        Statement remove{database,
                         "DELETE FROM idempotency WHERE created_at < ? OR rowid IN "
                         "(SELECT rowid FROM idempotency ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?)"};
        Binder{remove} << oldest << std::int64_t{keep};
        remove.exec();
    });
}

void Catalog::prune_history(int keep)
{
    database_->with([](const detail::Storage& storage) { storage.reserve.take(); });
    guarded(*database_, [this, keep](Database& database) {
        Change change{database, *events_};
        for (const char* const selection :
             {"FROM operation WHERE state NOT IN ('queued', 'running')", "FROM instance WHERE state = 'terminated'",
              "FROM checkpoint WHERE state = 'failed'", "FROM lease WHERE state <> 'active'"}) {
            const std::string old = std::string{"SELECT id FROM (SELECT id "} + selection +
                                    " ORDER BY id DESC LIMIT -1 OFFSET ?)"
                                    " WHERE id NOT IN (SELECT subject FROM idempotency)";
            const std::string table{
                std::string_view{selection}.substr(5, std::string_view{selection}.find(" WHERE") - 5)};
            for (const std::string& statement : {"DELETE FROM phase WHERE owner IN (" + old + ")",
                                                 "DELETE FROM " + table + " WHERE id IN (" + old + ")"}) {
                Statement remove{database, statement};
                Binder{remove} << std::int64_t{keep};
                remove.exec();
            }
        }
        events_->prune(database, kKeptEvents);
        change.commit();
    });
}

std::int64_t Catalog::last_event() const { return events_->newest(); }
std::int64_t Catalog::oldest_event() const { return events_->oldest(); }

std::vector<Event> Catalog::events_after(std::int64_t id, int limit) const
{
    return guarded(*database_, [&](Database& database) {
        Statement query{database,
                        "SELECT id, at, kind, subject, template, state, reason FROM event WHERE id > ? ORDER BY id "
                        "LIMIT ?"};
        Binder{query} << id << std::int64_t{limit};
        std::vector<Event> events;
        while (query.executeStep()) {
            events.push_back({.id = query.getColumn(0).getInt64(),
                              .at = time_from(query.getColumn(1)),
                              .kind = word(event_kind_from_string(query.getColumn(2).getString()), query.getColumn(2)),
                              .subject = query.getColumn(3).getString(),
                              .template_name = TemplateName{query.getColumn(4).getString()},
                              .state = query.getColumn(5).getString(),
                              .reason = query.getColumn(6).getString()});
        }
        return events;
    });
}

bool Catalog::wait_for_event(std::int64_t id, Duration patience, const std::stop_token& stop,
                             const std::function<bool()>& also) const
{
    return events_->wait(id, patience, stop, also);
}

void Catalog::nudge() const { events_->nudge(); }

void Catalog::ping() const
{
    guarded(*database_, [](Database& database) { database.execAndGet("SELECT count(*) FROM operation"); });
    const std::string damage = database_->with([](const detail::Storage& storage) { return storage.damage; });
    if (damage.empty()) return;
    throw Error{ErrorCode::corrupt, "the catalog is damaged"}.with_cause(damage).with_hint(kMendCatalog);
}

OpenedCatalog open_catalog(const std::string& path)
{
    try {
        return {.catalog = std::make_unique<Catalog>(path), .damaged = {}, .damage = {}};
    } catch (const Error& error) {
        if (error.code() != ErrorCode::corrupt) throw;
        // The log has the name that the file's new one asks for: sqlite3 reads them together.
        std::string aside = path + ".damaged-" + format_time(SystemClock{}.now());
        std::erase(aside, ':');
        for (const char* const part : {"-wal", "-shm", ""}) {
            if (::rename((path + part).c_str(), (aside + part).c_str()) != 0 && errno != ENOENT) {
                throw system_error("move the damaged catalog " + path + part + " aside", errno)
                    .with_cause(error.cause());
            }
        }
        return {.catalog = std::make_unique<Catalog>(path), .damaged = aside, .damage = error.cause()};
    }
}

}  // namespace warmd
