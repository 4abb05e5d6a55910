//! What a newcomer pastes into `prometheus.yml`: both directions, with what Prometheus leaves off by default.
//!
//! It must stay true for the version that prints it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The text, ready to paste, for a process that listens on `address`.
pub(crate) fn snippet(address: SocketAddr) -> String {
    let note = if address.ip().is_loopback() {
        "# Only Prometheus servers on this machine reach this address; see --web.listen-address.\n"
    } else if address.ip().is_unspecified() {
        "# On other machines, put this machine's name in place of 127.0.0.1.\n"
    } else {
        ""
    };
    let address = reachable(address);
    format!(
        "\
# Paste this into prometheus.yml and reload Prometheus.
{note}remote_write:
  - name: emberkeep
    url: http://{address}/api/v1/write
    # Off by default: remote write 2.0 carries start timestamps and histograms with custom buckets, and is smaller.
    # Metadata over 2.0 comes with --enable-feature=type-and-unit-labels (type and unit; help only over 1.0).
    protobuf_message: io.prometheus.write.v2.Request
    # Off by default. Without them native histograms (over 1.0) and exemplars are not sent.
    send_native_histograms: true
    send_exemplars: true
remote_read:
  - name: emberkeep
    url: http://{address}/api/v1/read
    # Off by default: Prometheus would ask only for times before its own oldest block.
    read_recent: true
"
    )
}

/// An address that a client on this machine can use: "all addresses" is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(address: &str) -> String {
        snippet(address.parse().expect("an address"))
    }

    /// The lines that have an effect.
    fn settings(text: &str) -> Vec<&str> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .collect()
    }

    #[test]
    fn both_directions_with_what_is_off_by_default() {
        let text = printed("10.1.2.3:9201");
        assert_eq!(
            settings(&text),
            [
                "remote_write:",
                "- name: emberkeep",
                "url: http://10.1.2.3:9201/api/v1/write",
                "protobuf_message: io.prometheus.write.v2.Request",
                "send_native_histograms: true",
                "send_exemplars: true",
                "remote_read:",
                "- name: emberkeep",
                "url: http://10.1.2.3:9201/api/v1/read",
                "read_recent: true",
            ]
        );
    }

    #[test]
    fn the_address_can_be_used() {
        assert!(printed("0.0.0.0:80").contains("url: http://127.0.0.1:80/api/v1/read\n"));
        assert!(printed("[::]:80").contains("url: http://127.0.0.1:80/api/v1/read\n"));
        assert!(printed("[fd00::1]:80").contains("url: http://[fd00::1]:80/api/v1/write\n"));
    }

    #[test]
    fn a_local_address_is_said_to_be_local() {
        let local = "# Only Prometheus servers on this machine";
        assert!(printed("127.0.0.1:9201").contains(local));
        assert!(!printed("10.1.2.3:9201").contains(local));
        assert!(!printed("0.0.0.0:9201").contains(local));
        assert!(printed("0.0.0.0:9201").contains("# On other machines"));
    }
}
