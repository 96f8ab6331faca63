// Frames on the agent's socket, from either side: neither trusts the other.
#include "dockerfiles/agent/protocol.h"

#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view bytes = fuzz::input(data, size);
    const std::size_t piece = fuzz::take_piece(bytes);
    agent::FrameReader reader;
    fuzz::accepts([&] {
        fuzz::in_pieces(bytes, piece, [&](std::string_view part) {
            reader.write(part);
            while (const auto frame = reader.next()) {
                fuzz::require(frame->payload.size() <= agent::kMaxPayload, "a payload is within its limit");
                const std::string again = agent::encode_frame(frame->type, frame->payload);
                fuzz::require(bytes.find(again) != std::string_view::npos, "a frame is what came in");
                fuzz::accepts([&] {
                    const agent::Request request = agent::decode_request(frame->payload);
                    const std::string encoded = agent::encode_request(request);
                    fuzz::require(agent::encode_request(agent::decode_request(encoded)) == encoded,
                                  "a request survives encoding");
                });
                fuzz::accepts([&] { agent::decode_exec_outcome(frame->payload); });
                fuzz::accepts([&] { agent::decode_pong(frame->payload); });
                fuzz::accepts([&] { agent::decode_done(frame->payload); });
            }
        });
    });
    return 0;
}
