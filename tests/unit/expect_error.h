#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "daemon/base/error.h"

namespace warmd::test {

/// Runs `fn`, which must throw an Error with `code`, and returns that Error for a closer look.
template <typename Fn>
Error expect_error(ErrorCode code, Fn&& fn)
{
    try {
        std::forward<Fn>(fn)();
    } catch (const Error& error) {
        EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what() << "; cause: " << error.cause();
        return error;
    }
    ADD_FAILURE() << "nothing was thrown; expected " << to_string(code);
    return Error{ErrorCode::internal, "nothing was thrown"};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace warmd::test
