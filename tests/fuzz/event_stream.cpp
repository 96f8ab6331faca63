// The client's reader of text/event-stream.
#include "client/event_stream.h"

#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

using namespace warmd;

namespace {

std::vector<std::string> read(std::string_view bytes, std::size_t piece)
{
    std::vector<std::string> events;
    client::EventStreamParser parser;
    fuzz::in_pieces(bytes, piece, [&](std::string_view part) {
        parser.feed(part, [&events](const client::StreamEvent& event) {
            events.push_back(event.type + '\0' + event.data + '\0' + event.last_id);
        });
    });
    events.push_back(parser.last_id());
    if (parser.retry()) events.push_back(std::to_string(parser.retry()->count()));
    return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view bytes = fuzz::input(data, size);
    const std::size_t piece = fuzz::take_piece(bytes);
    fuzz::require(read(bytes, piece) == read(bytes, bytes.size() + 1), "cutting changes nothing");
    return 0;
}
