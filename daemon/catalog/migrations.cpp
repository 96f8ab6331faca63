#include "daemon/catalog/migrations.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <array>
#include <string>

#include "catalog_schema.h"
#include "daemon/base/error.h"

namespace warmd::detail {

namespace {

// Step n brings version n to version n + 1. Steps that have been released are never changed: append.
constexpr std::array kSteps{
    kSchemaSql,
    // Where the agent of an instance, and of those restored from a checkpoint, listens; '' where there is none.
    "ALTER TABLE instance ADD COLUMN agent_socket TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE checkpoint ADD COLUMN agent_socket TEXT NOT NULL DEFAULT '';",
    // How an instance was made; until then all were restored in one way. Leases.
    "ALTER TABLE instance ADD COLUMN path TEXT NOT NULL DEFAULT 'cold';"
    "UPDATE instance SET path = 'archive' WHERE origin = 'restore';"
    "ALTER TABLE instance ADD COLUMN pooled INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE lease ("
    "    id         TEXT PRIMARY KEY,"
    "    template   TEXT NOT NULL,"
    "    instance   TEXT NOT NULL,"
    "    state      TEXT NOT NULL,"
    "    path       TEXT NOT NULL,"
    "    ttl        INTEGER NOT NULL,"
    "    created_at INTEGER NOT NULL,"
    "    expires_at INTEGER NOT NULL,"
    "    ended_at   INTEGER,"
    "    elapsed    INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX lease_by_state ON lease (state, id);",
    // Which operation or lease a request with a key has begun. A row is written with that of its subject.
    "CREATE TABLE idempotency ("
    "    caller      TEXT NOT NULL,"
    "    key         TEXT NOT NULL,"
    "    fingerprint TEXT NOT NULL,"
    "    subject     TEXT NOT NULL,"
    "    created_at  INTEGER NOT NULL,"
    "    PRIMARY KEY (caller, key)"
    ") STRICT;"
    "CREATE INDEX idempotency_by_age ON idempotency (created_at);"
    "CREATE INDEX idempotency_by_subject ON idempotency (subject);",
    // What has changed, in its order. AUTOINCREMENT: an id is never given out again.
    "CREATE TABLE event ("
    "    id       INTEGER PRIMARY KEY AUTOINCREMENT,"
    "    at       INTEGER NOT NULL,"
    "    kind     TEXT NOT NULL,"
    "    subject  TEXT NOT NULL,"
    "    template TEXT NOT NULL,"
    "    state    TEXT NOT NULL,"
    "    reason   TEXT NOT NULL"
    ") STRICT;",
    // When a checkpoint was last found intact, and what its canary answered before the dump.
    "ALTER TABLE checkpoint ADD COLUMN verified_at INTEGER; ALTER TABLE checkpoint ADD COLUMN canary TEXT NOT NULL "
    "DEFAULT '';",
    // What keeps a checkpoint, and when it last was of use.
    "ALTER TABLE checkpoint ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE checkpoint ADD COLUMN used_at INTEGER;",
    // What an operation has deleted, and why.
    "CREATE TABLE deletion ("
    "    operation  TEXT NOT NULL REFERENCES operation (id) ON DELETE CASCADE,"
    "    position   INTEGER NOT NULL,"
    "    checkpoint TEXT NOT NULL,"
    "    template   TEXT NOT NULL,"
    "    state      TEXT NOT NULL,"
    "    size_bytes INTEGER NOT NULL,"
    "    created_at INTEGER NOT NULL,"
    "    reason     TEXT NOT NULL,"
    "    PRIMARY KEY (operation, position)"
    ") STRICT;",
};

}  // namespace

void migrate(SQLite::Database& database)
{
    const int version = database.execAndGet("PRAGMA user_version").getInt();
    const int known = static_cast<int>(kSteps.size());
    if (version > known) {
        throw Error{ErrorCode::conflict, "the catalog has schema version " + std::to_string(version) +
                                             ", this warmd knows up to " + std::to_string(known)}
            .with_hint("install the newer warmd again, or move the catalog away");
    }
    if (version == known) return;
    SQLite::Transaction transaction{database, SQLite::TransactionBehavior::EXCLUSIVE};
    for (int step = version; step < known; ++step) database.exec(kSteps.at(static_cast<std::size_t>(step)));
    database.exec("PRAGMA user_version = " + std::to_string(known));
    transaction.commit();
}

}  // namespace warmd::detail
