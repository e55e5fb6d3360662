import ContainerdAPI
import GRPCSocket
import SwiftProtobuf

/// containerd.services.events.v1: publish, forward and subscribe.
struct EventsService: GRPCService {
    let exchange: EventExchange

    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(EventsAPI.publish) { request, context in
            let namespace = try context.requireNamespace()
            try exchange.forward(
                .with {
                    $0.timestamp = Timestamps.proto(Clock.now)
                    $0.namespace = namespace
                    $0.topic = request.topic
                    $0.event = request.event
                })
            return Google_Protobuf_Empty()
        }
        handlers.unary(EventsAPI.forward) { request, _ in
            try exchange.forward(request.envelope)
            return Google_Protobuf_Empty()
        }
        handlers.serverStream(EventsAPI.subscribe) { request, writer, _ in
            let subscription = exchange.subscribe(try FilterSet(request.filters))
            for await envelope in subscription.envelopes { try await writer.write(envelope) }
            try Task.checkCancellation()
            throw GRPCStatus(.resourceExhausted, "subscriber is too slow, events were lost")
        }
    }
}
