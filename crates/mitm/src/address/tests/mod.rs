//! Every range in every spelling, what lies just outside, what exceptions open and what they do not.

mod properties;

use url::Host;

use super::*;

/// First, some, and last address of what is blocked, written from the registries and not from the code's table.
const V4: [(&str, &str, &str); 17] = [
    ("0.0.0.0", "0.1.2.3", "0.255.255.255"),
    ("10.0.0.0", "10.20.30.40", "10.255.255.255"),
    ("100.64.0.0", "100.100.1.2", "100.127.255.255"),
    ("127.0.0.0", "127.0.0.1", "127.255.255.255"),
    ("169.254.0.0", "169.254.7.8", "169.254.255.255"),
    ("172.16.0.0", "172.17.0.1", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.170", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.33", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.1", "192.88.99.255"),
    ("192.168.0.0", "192.168.1.1", "192.168.255.255"),
    ("198.18.0.0", "198.19.3.4", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.7", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.9", "203.0.113.255"),
    ("224.0.0.0", "232.1.1.1", "239.255.255.255"),
    ("240.0.0.0", "250.1.2.3", "255.255.255.255"),
    // Cloud metadata in a public range, and elsewhere.
    ("168.63.129.16", "168.63.129.16", "168.63.129.16"),
    ("100.100.100.200", "169.254.169.254", "169.254.170.2"),
];

const V4_NEIGHBOURS: [&str; 29] = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "8.8.8.8",
];

const V6: [(&str, &str, &str); 19] = [
    ("::", "::1", "::ffff:ffff"),
    ("::ffff:0:0:0", "::ffff:0:808:808", "::ffff:0:ffff:ffff"),
    ("64:ff9b::", "64:ff9b::808:808", "64:ff9b::ffff:ffff"),
    (
        "64:ff9b:1::",
        "64:ff9b:1:2::808:808",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    ),
    ("100::", "100::7", "100::ffff:ffff:ffff:ffff"),
    ("100:0:0:1::", "100:0:0:1::7", "100:0:0:1:ffff:ffff:ffff:ffff"),
    (
        "2001::",
        "2001:0:808:808::f7f7:f7f7",
        "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    (
        "2001:1::1",
        "2001:20::1",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    (
        "2001:db8::",
        "2001:db8:1::1",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    (
        "2002::",
        "2002:808:808::1",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    ("3fff::", "3fff:123::1", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "5f00::1", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    (
        "fc00::",
        "fd12:3456::1",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    ("fe80::", "fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fec0::", "fec0::1", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    // Given out to nobody.
    ("1::", "200::1", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("6000::", "a000::1", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
];

const V6_NEIGHBOURS: [&str; 12] = [
    "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
    "2001:4860:4860::8888",
    "2606:4700::6810:84e5",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

fn policy(allowed: &[&str]) -> AddressPolicy {
    AddressPolicy::new(allowed.iter().map(|network| network.parse().unwrap()))
}

/// Reads a host as CONNECT does.
fn address(spelled: &str) -> IpAddr {
    match Host::parse(spelled) {
        Ok(Host::Ipv4(address)) => address.into(),
        Ok(Host::Ipv6(address)) => address.into(),
        other => panic!("{spelled} is no address but {other:?}"),
    }
}

fn is_allowed(policy: &AddressPolicy, spelled: &str) -> bool {
    policy.check(address(spelled)).is_ok()
}

/// All that a parser of URLs takes for this address.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let number = address.to_bits();
    let low = number & 0xff_ffff;
    let lower = number & 0xffff;
    vec![
        format!("{address}"),
        format!("{address}."),
        format!("{number}"),
        format!("{number}."),
        format!("0{number:o}"),
        format!("0x{number:x}"),
        format!("0X{number:X}"),
        format!("0x0000000000{number:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.000{b:o}.000{c:o}.000{d:o}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0X{a:X}.{b}.0{c:o}.{d}"),
        format!("{a}.{low}"),
        format!("0x{a:x}.{low}"),
        format!("{a}.{b}.{lower}"),
        format!("{a}.0x{b:x}.0{lower:o}"),
        // Percent-encoded, in full width, with an ideographic full stop.
        format!("{address}").replace('1', "%31").replace('2', "%32"),
        format!("{address}")
            .replace('1', "\u{ff11}")
            .replace('2', "\u{ff12}"),
        format!("{address}").replace('.', "\u{3002}"),
    ]
}

/// The address inside of IPv6 addresses which are IPv4 for the kernel.
fn mapped_spellings(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    vec![
        format!("[::ffff:{address}]"),
        format!("[::FFFF:{address}]"),
        format!("[::ffff:{a:x}{b:02x}:{c:x}{d:02x}]"),
        format!("[::FFFF:{a:X}{b:02X}:{c:X}{d:02X}]"),
        format!("[0:0:0:0:0:ffff:{address}]"),
        format!("[0000:0000:0000:0000:0000:ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]"),
    ]
}

/// The address inside of IPv6 addresses that lead to it.
fn carriers(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let [na, nb, nc, nd] = address.octets().map(|octet| !octet);
    vec![
        format!("[::{address}]"),
        format!("[::{a:X}{b:02X}:{c:X}{d:02X}]"),
        format!("[::ffff:0:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[64:FF9B::{a:X}{b:02X}:{c:X}{d:02X}]"),
        format!("[2002:{a:x}{b:02x}:{c:x}{d:02x}::1]"),
        format!("[2002:{a:x}{b:02x}:{c:x}{d:02x}:1:2:3:4:5]"),
        format!("[2001:0:808:808:0:1234:{na:x}{nb:02x}:{nc:x}{nd:02x}]"),
        format!("[2001:0:{a:x}{b:02x}:{c:x}{d:02x}:0:1234:f7f7:f7f7]"),
    ]
}

/// The address at the end of IPv6 addresses that may lead to it, in a public network and in local NAT64.
fn suggestions(address: Ipv4Addr) -> Vec<String> {
    vec![
        format!("[2606:4700:1:2:0:5efe:{address}]"),
        format!("[2606:4700:1:2:200:5efe:{address}]"),
        format!("[64:ff9b:1::{address}]"),
        format!("[64:ff9b:1:2:3:4:{address}]"),
    ]
}

#[test]
fn blocked_v4_is_blocked_in_every_spelling() {
    let policy = policy(&[]);
    for blocked in V4.into_iter().flat_map(|(first, some, last)| [first, some, last]) {
        let v4: Ipv4Addr = blocked.parse().unwrap();
        for spelled in spellings(v4).into_iter().chain(mapped_spellings(v4)) {
            assert_eq!(address(&spelled).to_canonical(), v4, "{spelled}");
            assert!(!is_allowed(&policy, &spelled), "{blocked} as {spelled}");
        }
        for spelled in carriers(v4).into_iter().chain(suggestions(v4)) {
            assert!(!is_allowed(&policy, &spelled), "{blocked} in {spelled}");
        }
    }
}

#[test]
fn the_neighbours_of_blocked_v4_are_allowed_in_every_spelling_but_not_in_transit() {
    let policy = policy(&[]);
    for allowed in V4_NEIGHBOURS {
        let v4: Ipv4Addr = allowed.parse().unwrap();
        for spelled in spellings(v4).into_iter().chain(mapped_spellings(v4)) {
            assert!(is_allowed(&policy, &spelled), "{allowed} as {spelled}");
        }
        for spelled in carriers(v4) {
            assert!(!is_allowed(&policy, &spelled), "{allowed} in {spelled}");
        }
        assert!(
            is_allowed(&policy, &suggestions(v4)[0]),
            "{allowed} at the end of a public address"
        );
    }
}

#[test]
fn v6_is_allowed_where_it_is_global_unicast() {
    let policy = policy(&[]);
    let written = |plain: &str| {
        let segments = plain.parse::<Ipv6Addr>().unwrap().segments();
        let whole = segments.map(|segment| format!("{segment:04X}")).join(":");
        [
            format!("[{plain}]"),
            format!("[{}]", plain.to_uppercase()),
            format!("[{whole}]"),
        ]
    };
    for blocked in V6.into_iter().flat_map(|(first, some, last)| [first, some, last]) {
        for spelled in written(blocked) {
            assert!(!is_allowed(&policy, &spelled), "{spelled}");
        }
    }
    for allowed in V6_NEIGHBOURS {
        for spelled in written(allowed) {
            assert!(is_allowed(&policy, &spelled), "{spelled}");
        }
    }
}

#[test]
fn what_is_no_address_and_no_name_never_gets_this_far() {
    let refused = [
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "fe80::1",
        "[::1",
        "[127.0.0.1]",
        "[::ffff:0x7f.1]",
        "[::ffff:127.1]",
        "4294967296",
        "0x100000000",
        "256.0.0.1",
        "127.0.0.0.1",
        "127.0.0.09",
        "127.0.0.1:80",
        "127.0.0.1\0.example",
    ];
    for spelled in refused {
        assert!(Host::parse(spelled).is_err(), "{spelled}");
    }
}

#[test]
fn an_exception_for_v4_holds_however_the_address_is_written() {
    for network in ["10.0.0.0/8", "10.9.8.7/8", "::ffff:10.0.0.0/104"] {
        let policy = policy(&[network]);
        let v4 = Ipv4Addr::new(10, 20, 30, 40);
        for spelled in spellings(v4).into_iter().chain(mapped_spellings(v4)) {
            assert!(is_allowed(&policy, &spelled), "{spelled} by {network}");
        }
        for spelled in ["[::10.20.30.40]", "[64:ff9b::10.20.30.40]", "[2002:a14:1e28::1]"] {
            assert!(is_allowed(&policy, spelled), "{spelled} by {network}");
        }
        // Both of Teredo's addresses count, and the end of an address opens no network.
        for spelled in [
            "[2001:0:a14:1e28:0:1234:f7f7:f7f7]",
            "[fe80::5efe:10.20.30.40]",
            "[fd00::200:5efe:10.20.30.40]",
            "[64:ff9b:1::10.20.30.40]",
            "[fd00::10.20.30.40]",
            "11.0.0.1.",
            "[64:ff9b::11.0.0.1]",
            "192.168.0.1",
        ] {
            let is_public = spelled == "11.0.0.1.";
            assert_eq!(is_allowed(&policy, spelled), is_public, "{spelled} by {network}");
        }
    }
}

#[test]
fn an_exception_for_v6_opens_no_v4() {
    for network in [
        "::/0",
        "64:ff9b::/96",
        "2002::/16",
        "::/96",
        "::ffff:0:0:0/96",
        "2001::/32",
    ] {
        let policy = policy(&[network, "64:ff9b:1::/48"]);
        for blocked in V4.into_iter().flat_map(|(first, some, last)| [first, some, last]) {
            let v4: Ipv4Addr = blocked.parse().unwrap();
            if v4.to_bits() < 2 && network.starts_with("::/") {
                // `::` and `::1` carry no IPv4 address.
                continue;
            }
            let all = [spellings(v4), mapped_spellings(v4), carriers(v4), suggestions(v4)];
            for spelled in all.concat() {
                assert!(
                    !is_allowed(&policy, &spelled),
                    "{blocked} as {spelled} by {network}"
                );
            }
        }
    }
    assert!(is_allowed(&policy(&["64:ff9b::/96"]), "[64:ff9b::8.8.8.8]"));
    assert!(is_allowed(&policy(&["64:ff9b:1::/48"]), "[64:ff9b:1:2::8.8.8.8]"));
    assert!(is_allowed(&policy(&["2001::/32"]), "[2001:0:808:808::f7f7:f7f7]"));
    for spelled in [
        "[::]",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[2001:db8::1]",
        "[4000::1]",
    ] {
        assert!(is_allowed(&policy(&["::/0"]), spelled), "{spelled}");
    }
    assert!(is_allowed(&policy(&["::1/128"]), "[::1]"));
    assert!(!is_allowed(&policy(&["::1/128"]), "127.0.0.1"));
}

#[test]
fn metadata_takes_an_exception_of_its_own() {
    for metadata in METADATA {
        let wide = policy(&["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00:ec2::/64"]);
        let error = wide.check(metadata).unwrap_err();
        assert_eq!((error.address, error.range), (metadata, "cloud metadata"));
        let exact = AddressPolicy::new([IpNet::from(metadata)]);
        exact.check(metadata).unwrap();
    }
    let wide = policy(&["0.0.0.0/0", "::/0"]);
    for spelled in [
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "2852039166",
    ] {
        assert!(!is_allowed(&wide, spelled), "{spelled}");
    }
}

#[test]
fn the_log_is_told_what_was_blocked_and_why() {
    let error = policy(&[]).check("::ffff:10.0.0.1".parse().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "::ffff:10.0.0.1 is out of bounds for tunnels: a private network"
    );
}
