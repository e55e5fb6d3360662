import ContainerdAPI
import SwiftProtobuf
import Testing
@testable import berth_supervisor

@Suite struct `Events` {
    private func exit(_ id: String) -> Events_TaskExit { .with { $0.containerID = id; $0.id = id } }

    @Test func `a subscriber gets what its filter selects, in order`() async throws {
        let exchange = EventExchange()
        let subscription = exchange.subscribe(try FilterSet(["namespace==moby,topic~=|^/tasks/|"]))
        exchange.publish(exit("a"), topic: "/tasks/exit", namespace: "moby")
        exchange.publish(exit("b"), topic: "/tasks/exit", namespace: "default")
        exchange.publish(exit("c"), topic: "/containers/create", namespace: "moby")
        exchange.publish(exit("d"), topic: "/tasks/exit", namespace: "moby")
        var ids: [String] = []
        for await envelope in subscription.envelopes {
            ids.append(AnyMessages.unpack(envelope.event, as: Events_TaskExit.self)?.containerID ?? "")
            if ids.count == 2 { break }
        }
        #expect(ids == ["a", "d"])
    }

    @Test func `a filter can look into the event`() async throws {
        let exchange = EventExchange()
        let subscription = exchange.subscribe(try FilterSet(["event.container_id==b"]))
        exchange.publish(exit("a"), topic: "/tasks/exit", namespace: "moby")
        exchange.publish(exit("b"), topic: "/tasks/exit", namespace: "moby")
        for await envelope in subscription.envelopes {
            #expect(AnyMessages.unpack(envelope.event, as: Events_TaskExit.self)?.containerID == "b")
            break
        }
    }

    @Test func `what happens before the first subscriber waits for it, and only for it`() async throws {
        let exchange = EventExchange()
        exchange.publish(exit("early"), topic: "/tasks/exit", namespace: "moby")
        let first = exchange.subscribe(try FilterSet([]))
        let second = exchange.subscribe(try FilterSet([]))
        exchange.publish(exit("late"), topic: "/tasks/exit", namespace: "moby")
        func firstID(_ subscription: EventExchange.Subscription) async -> String? {
            for await envelope in subscription.envelopes { return AnyMessages.unpack(envelope.event, as: Events_TaskExit.self)?.containerID }
            return nil
        }
        #expect(await firstID(first) == "early")
        #expect(await firstID(second) == "late")
    }

    @Test(arguments: ["", "tasks/exit", "/", "/tasks/", "/a b", "//"])
    func `a topic that is no path is refused`(topic: String) {
        #expect(throws: SupervisorError.self) { try EventExchange().forward(.with { $0.topic = topic; $0.namespace = "moby" }) }
    }

    @Test func `the type of an event is its bare name`() {
        #expect(AnyMessages.pack(exit("a")).typeURL == "containerd.events.TaskExit")
        #expect(AnyMessages.pack(Images_ImageCreate()).typeURL == "containerd.services.images.v1.ImageCreate")
    }
}
