//! What holds for every address, with the forms of transition read in a way of their own.

use proptest::prelude::*;

use super::*;

/// Every IPv4 address that some form of transition sees in these bits, by their place alone.
fn seen_in(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bits = address.to_bits();
    let at = |shift: u32| Ipv4Addr::from_bits(u32::try_from(bits >> shift & 0xffff_ffff).unwrap());
    let starts = |prefix: u128, length: u32| bits >> (128 - length) == prefix;
    let mut seen = Vec::new();
    if starts(0, 96) && bits > 1
        || starts(0xffff, 96)
        || starts(0xffff_0000, 96)
        || starts(0x0064_ff9b_0000_0000_0000_0000, 96)
        || starts(0x0064_ff9b_0001, 48)
        || bits >> 32 & 0xfdff_ffff == 0x5efe
    {
        seen.push(at(0));
    }
    if starts(0x2002, 16) {
        seen.push(at(80));
    }
    if starts(0x2001_0000, 32) {
        seen.extend([at(64), Ipv4Addr::from_bits(!at(0).to_bits())]);
    }
    seen
}

/// Addresses of which many have one of the forms, and many carry something blocked.
fn any_address() -> impl Strategy<Value = Ipv6Addr> {
    const SHAPES: [(u128, u32); 9] = [
        (0, 96),
        (0xffff, 96),
        (0xffff_0000, 96),
        (0x0064_ff9b_0000_0000_0000_0000, 96),
        (0x0064_ff9b_0001, 48),
        (0x2002, 16),
        (0x2001_0000, 32),
        (0x2606_4700_0000_0000_0000_5efe, 96),
        (0x2002_0808_0808_0000_0200_5efe, 96),
    ];
    let v4 = prop_oneof![
        any::<u32>(),
        proptest::sample::select(V4.to_vec())
            .prop_map(|(_, some, _)| some.parse::<Ipv4Addr>().unwrap().to_bits()),
        Just(0x0808_0808),
    ];
    let shaped = (
        proptest::sample::select(SHAPES.to_vec()),
        any::<u128>(),
        v4.clone(),
        v4,
    )
        .prop_map(|((prefix, length), rest, first, last)| {
            let mut bits = rest >> 32 << 32 | u128::from(last);
            if length < 48 {
                // Where 6to4 and the server of Teredo have theirs.
                let shift = 128 - length - 32;
                bits = bits & !(0xffff_ffff << shift) | u128::from(first) << shift;
            }
            bits = bits & (u128::MAX >> length) | prefix << (128 - length);
            Ipv6Addr::from_bits(bits)
        });
    prop_oneof![shaped, any::<u128>().prop_map(Ipv6Addr::from_bits)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nothing_is_allowed_that_carries_a_blocked_address(
        address in any_address(),
        exceptions in proptest::sample::subsequence(
            vec!["::/0", "64:ff9b::/96", "2002::/16", "10.0.0.0/8", "127.0.0.0/8"], 0..=5,
        ),
    ) {
        let policy = policy(&exceptions);
        if policy.check(address.into()).is_ok() {
            for carried in seen_in(address) {
                prop_assert!(policy.check(carried.into()).is_ok(), "{} carries {}", address, carried);
            }
        }
    }

    #[test]
    fn without_exceptions_only_global_unicast_is_allowed(address in any_address()) {
        let is_allowed = policy(&[]).check(address.into()).is_ok();
        let first = address.segments()[0];
        let is_mapped = address.to_ipv4_mapped().is_some();
        prop_assert!(!is_allowed || is_mapped || (first & 0xe000 == 0x2000 && first != 0x2002));
    }
}
