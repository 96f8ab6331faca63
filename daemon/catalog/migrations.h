#pragma once

namespace SQLite {
class Database;
}

namespace warmd::detail {

/// Brings the database to the version that this program knows, in one transaction. Throws
/// Error{conflict} for a newer one.
void migrate(SQLite::Database& database);

}  // namespace warmd::detail
