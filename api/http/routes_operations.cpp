#include "api/contract/documents.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_operation_routes(Router& router, Service& service)
{
    router.get("/v1/operations", [&service](const Request& request) {
        request.allow_query({"limit", "cursor"});
        const Page page = read_page(request);
        return Response::json(contract::encode_list(service.operations().list(page), page.limit));
    });
    router.get("/v1/operations/{id}", [&service](const Request& request) {
        request.allow_query({"wait"});
        Response response = answer_operation(service, request.id<OperationId>("id"), read_wait(request));
        response.status = 200;  // the resource asked for is the operation itself
        return response;
    });
    router.del("/v1/operations/{id}", [&service](const Request& request) {
        return start(request, service, [&] { return service.operations().cancel(request.id<OperationId>("id")); });
    });
}

}  // namespace warmd::http
