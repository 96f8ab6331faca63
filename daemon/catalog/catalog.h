#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "daemon/base/guarded.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/event.h"
#include "daemon/model/instance.h"
#include "daemon/model/lease.h"
#include "daemon/model/operation.h"
#include "daemon/model/request_key.h"

namespace warmd {

namespace detail {
class EventLog;
struct Storage;
}  // namespace detail

/// Which rows of a list: newest first, at most `limit`, older than `before` (an id; empty: from the newest).
struct Page {
    int limit = 100;  // -1: no limit
    std::string before{};

    static Page all() { return {.limit = -1}; }
};

/// What warmd knows, in SQLite. Thread-safe: one connection behind one mutex (SQLiteCpp forbids sharing one). Every
/// change is durable on return, at the price of one sync: a write-ahead log with synchronous=FULL, where a rollback
/// journal needs four. The WAL-reset corruption that SQLite 3.51.3 fixed needs a second connection, and
/// locking_mode=EXCLUSIVE lets none in. Calls take a millisecond and throw Error: `no_space`, `corrupt`, `internal`.
/// A file beside the database holds some of the disk; it is given up when the disk is full, so that the deletions that
/// make room can be recorded, and made again by `prune_history`.
class Catalog {
public:
    /// Opens or creates the database. ":memory:" serves tests. Throws Error{corrupt} for a damaged file, as far as
    /// SQLite finds damage quickly and as what the services read at their start can be read; Error{conflict} for a
    /// schema that is newer than this program.
    explicit Catalog(const std::string& path);
    ~Catalog();
    Catalog(const Catalog&) = delete;
    Catalog& operator=(const Catalog&) = delete;

    /// Inserts the row or replaces it whole, with its phases. But an existing one stays pinned, or not, and used when
    /// it was: these are written below.
    void save(const Checkpoint& checkpoint);
    void save(const Instance& instance);
    /// With `key`: also that a request with it began this operation, both or neither.
    void save(const Operation& operation, const std::optional<RequestKey>& key = std::nullopt);

    [[nodiscard]] std::optional<Checkpoint> find(const CheckpointId& id) const;
    [[nodiscard]] std::optional<Instance> find(const InstanceId& id) const;
    [[nodiscard]] std::optional<Operation> find(const OperationId& id) const;

    /// As `find`, but absence is Error{not_found} with the way to the list of them.
    [[nodiscard]] Checkpoint get(const CheckpointId& id) const;
    [[nodiscard]] Instance get(const InstanceId& id) const;
    [[nodiscard]] Operation get(const OperationId& id) const;
    [[nodiscard]] Lease get(const LeaseId& id) const;

    /// Moves the instance from one of `from` to `to` and returns it as it then is; throws Error{conflict}
    /// that names its state if it is in another, Error{not_found} if there is none.
    Instance transition(const InstanceId& id, const std::vector<InstanceState>& from, InstanceState to,
                        const std::string& reason = {});

    /// As above. The row's other columns stay as they are.
    Checkpoint transition(const CheckpointId& id, const std::vector<CheckpointState>& from, CheckpointState to,
                          const std::string& reason = {});
    /// That the checkpoint was then looked at and found as it should be. Without effect when there is none.
    void set_verified(const CheckpointId& id, Time at);

    /// Records an instance that is going to be restored, and that its checkpoint is used now, both or neither: from
    /// then on `begin_deletion` can spare it. Throws Error{conflict} unless the checkpoint is available,
    /// Error{not_found} if there is none.
    void begin_restore(const Instance& instance);

    /// Pins a checkpoint, or takes that back, and returns it as it then is. Throws Error{not_found}, and
    /// Error{conflict} for one to be pinned that is neither available nor quarantined.
    Checkpoint set_pinned(const CheckpointId& id, bool pinned);

    /// Moves the checkpoint to deleting, for that reason, and returns it as it was. Throws Error{not_found}, and
    /// Error{conflict} for one that is being made or pinned or, with `spare_used`, that a live instance came from or
    /// somebody deletes.
    Checkpoint begin_deletion(const CheckpointId& id, const std::string& reason, bool spare_used);

    /// Records an active lease, and that the checkpoint of its instance is used now, and moves its instance from idle
    /// to leased, all or nothing, and returns the instance. Throws Error{conflict} if it is not idle, Error{not_found}
    /// if there is none. `key`: as for an operation.
    Instance begin(const Lease& lease, const std::optional<RequestKey>& key = std::nullopt);
    /// Records the end of a lease and moves its instance, if that is leased, to draining, both or neither. Returns the
    /// instance if it was moved.
    std::optional<Instance> end(const Lease& lease, const std::string& reason);
    /// Without `with_ended`: the active ones.
    [[nodiscard]] std::vector<Lease> leases(const Page& page, bool with_ended = false) const;

    /// Empty `template_name`: of all.
    [[nodiscard]] std::vector<Checkpoint> checkpoints(const Page& page, const TemplateName& template_name = {}) const;
    /// Without `with_terminated`: those that still have a container.
    [[nodiscard]] std::vector<Instance> instances(const Page& page, bool with_terminated = false) const;
    [[nodiscard]] std::vector<Operation> operations(const Page& page) const;
    [[nodiscard]] std::vector<Operation> unfinished_operations() const;

    /// The newest available checkpoint of the template that was made when it had this digest, and that `fits`. That is
    /// asked of the newest first, of no more than needed, and without the database being held.
    [[nodiscard]] std::optional<Checkpoint> newest_available(
        const TemplateName& template_name, const std::string& digest,
        const std::function<bool(const Checkpoint&)>& fits = {}) const;

    /// Forgets the row. The event gives the reason.
    void erase(const CheckpointId& id, const std::string& reason = {});

    /// What a request with this key, of this caller, has begun.
    struct Begun {
        std::string fingerprint;  // of that request
        std::string subject;      // the id of an operation or a lease
    };
    [[nodiscard]] std::optional<Begun> find(const RequestKey& key) const;
    /// Forgets keys from before `oldest`, and all but the newest `keep`.
    void prune_keys(Time oldest, int keep);

    /// Forgets finished operations, terminated instances, failed checkpoints and ended leases but the newest `keep` of
    /// each, and those that a request with a key began, for as long as that is known. Forgets old events, too.
    void prune_history(int keep);

    /// An event is recorded in the transaction of the change that it tells of: a new row, another state, a removed
    /// checkpoint. The newest 10,000 are kept, and their ids have no gaps. These two do not wait for the database.
    [[nodiscard]] std::int64_t last_event() const;
    /// One more than `last_event` when there is none.
    [[nodiscard]] std::int64_t oldest_event() const;
    /// At most `limit` of those that came after `id`, oldest first.
    [[nodiscard]] std::vector<Event> events_after(std::int64_t id, int limit) const;
    /// Blocks until there is an event after `id` or `also` holds (asked with a mutex held: it must not call the
    /// catalog). False when neither comes about within `patience` or before `stop` is requested.
    bool wait_for_event(std::int64_t id, Duration patience, const std::stop_token& stop,
                        const std::function<bool()>& also = {}) const;
    /// Makes who waits for an event look at `also` again.
    void nudge() const;

    /// Throws if the database cannot be read, or was found to be damaged since it was opened: for health checks.
    void ping() const;

private:
    std::unique_ptr<Guarded<detail::Storage>> database_;
    std::unique_ptr<detail::EventLog> events_;
};

struct OpenedCatalog {
    std::unique_ptr<Catalog> catalog;
    std::string damaged;  // where the damaged file is now; empty: there was none
    std::string damage;   // what was wrong with it
};

/// Opens or creates the catalog. A damaged one is moved aside, to PATH.damaged-TIME, with what SQLite has left of its
/// log, and a new one made: nothing is ever deleted. Throws Error as Catalog does, but for damage.
OpenedCatalog open_catalog(const std::string& path);

}  // namespace warmd
