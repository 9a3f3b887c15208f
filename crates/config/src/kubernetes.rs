//! The variables that Kubernetes sets for every service of a namespace.

/// A service called `notes-db` gives each pod `NOTES_DB_SERVICE_HOST`, `NOTES_DB_SERVICE_PORT`,
/// `NOTES_DB_SERVICE_PORT_HTTP`, `NOTES_DB_PORT=tcp://10.0.0.1:80` and `NOTES_DB_PORT_80_TCP..`.
pub(crate) fn sets(name: &str, text: Option<&str>) -> bool {
    let address =
        || text.is_some_and(|text| ["tcp://", "udp://", "sctp://"].iter().any(|p| text.starts_with(p)));
    let numbered = name.split("_PORT_").skip(1).any(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.starts_with(protocol))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || numbered
        || (name.ends_with("_PORT") && address())
}

/// A setting can't have a name that Kubernetes sets for the service of the same name as the program.
pub(crate) fn takes(name: &str, prefix: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    !prefix.is_empty()
        && (["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].contains(&rest)
            || rest.starts_with("_SERVICE_PORT_")
            || rest.starts_with("_PORT_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_is_known() {
        for name in [
            "NOTES_SERVICE_HOST",
            "NOTES_SERVICE_PORT",
            "NOTES_SERVICE_PORT_HTTP",
            "NOTES_PORT_8080_TCP",
            "NOTES_PORT_8080_TCP_ADDR",
            "NOTES_DB_PORT_5432_UDP_PROTO",
        ] {
            assert!(sets(name, Some("10.0.0.1")), "{name}");
        }
        assert!(sets("NOTES_DB_PORT", Some("tcp://10.0.0.1:5432")));
        assert!(!sets("NOTES_DB_PORT", Some("5432")));
        assert!(!sets("NOTES_IMPORT_SIZE", Some("5")));
    }
}
