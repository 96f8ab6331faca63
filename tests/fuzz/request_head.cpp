// The front door's framing: what of a connection's bytes is a request, and where the next one begins.
#include "api/http/request_head.h"

#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view rest = fuzz::input(data, size);
    fuzz::accepts([&] {
        for (auto head = http::read_head(rest); head; head = http::read_head(rest)) {
            fuzz::require(head->size <= rest.size() && head->size > 0, "a head is part of what was read");
            fuzz::require(head->body <= http::kMaxBody && head->size <= http::kMaxHead + 4, "limits hold");
            fuzz::require(!fuzz::accepts([&] {
                const auto shorter = http::read_head(rest.substr(0, head->size - 1));
                if (shorter) throw std::logic_error{"a head is complete before its end"};
                throw Error{ErrorCode::internal, "not complete"};
            }),
                          "a head is not complete before its end");
            // The parser behind sees what we have seen.
            const auto again = http::read_head(head->normalised);
            fuzz::require(again.has_value() && again->size == head->normalised.size(), "it is read as one head");
            fuzz::require(again->method == head->method && again->target == head->target, "and as the same request");
            fuzz::require(again->normalised == head->normalised && again->body == 0, "and is its own normal form");
            rest.remove_prefix(std::min(rest.size(), head->size + head->body));
        }
    });
    return 0;
}
