import DockerAPI

/// What answers about images looked like in older versions of the API.
enum ImageCompatibility {
    static func summaries(_ list: [ImageSummary], version: APIVersion) -> [ImageSummary] {
        guard version < .v(51) else { return list }
        var list = list
        for index in list.indices {
            // Counted for everybody since 1.51, before only in `system df`.
            list[index].Containers = -1
            if version < .v(48) { list[index].Descriptor = nil }
            if version < .v(44) { list[index].VirtualSize = list[index].Size }
            if version < .v(43), list[index].RepoTags?.isEmpty ?? true, list[index].RepoDigests?.isEmpty ?? true {
                list[index].RepoTags = ["<none>:<none>"]
                list[index].RepoDigests = ["<none>@<none>"]
            }
        }
        return list
    }

    static func inspect(_ image: ImageInspect, version: APIVersion) -> ImageInspect {
        var image = image
        if version < .v(44) {
            image.VirtualSize = image.Size
            if image.Created == nil { image.Created = "0001-01-01T00:00:00Z" }
        }
        if version < .v(48) { image.Descriptor = nil }
        if version < .v(50), var config = image.Config {
            // Fields of containers, which images have only ever had empty.
            config.Hostname = config.Hostname ?? ""
            config.Domainname = config.Domainname ?? ""
            config.Image = config.Image ?? ""
            (config.AttachStdin, config.AttachStdout, config.AttachStderr) = (false, false, false)
            (config.Tty, config.OpenStdin, config.StdinOnce) = (false, false, false)
            image.Config = config
        }
        return image
    }
}
