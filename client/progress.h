#pragma once

#include "api/contract/documents.h"
#include "client/api_client.h"
#include "client/output.h"

namespace warmd::client {

/// Follows an operation to its end and returns it. On a terminal one line on standard error shows the
/// current phase; elsewhere each finished phase is a line of its own; `quiet` shows nothing. Throws the
/// operation's error when it failed or was cancelled.
Operation follow(const ApiClient& api, const Output& output, Operation operation);

}  // namespace warmd::client
