//! A bit for each permission, however many there are.

use shared_core::TenantId;
use shared_security::{Grant, Permission, Permissions, Principal, permissions};

use crate::support::{self, ReadNotes, WriteNotes, issuer, verifier};

// 130 permissions: more than two words hold.
permissions! { pub(crate) static WIDE = "wide" {
    P0 = "wide:p0", P1 = "wide:p1", P2 = "wide:p2", P3 = "wide:p3", P4 = "wide:p4", P5 =
    "wide:p5", P6 = "wide:p6", P7 = "wide:p7", P8 = "wide:p8", P9 = "wide:p9", P10 = "wide:p10",
    P11 = "wide:p11", P12 = "wide:p12", P13 = "wide:p13", P14 = "wide:p14", P15 = "wide:p15",
    P16 = "wide:p16", P17 = "wide:p17", P18 = "wide:p18", P19 = "wide:p19", P20 = "wide:p20",
    P21 = "wide:p21", P22 = "wide:p22", P23 = "wide:p23", P24 = "wide:p24", P25 = "wide:p25",
    P26 = "wide:p26", P27 = "wide:p27", P28 = "wide:p28", P29 = "wide:p29", P30 = "wide:p30",
    P31 = "wide:p31", P32 = "wide:p32", P33 = "wide:p33", P34 = "wide:p34", P35 = "wide:p35",
    P36 = "wide:p36", P37 = "wide:p37", P38 = "wide:p38", P39 = "wide:p39", P40 = "wide:p40",
    P41 = "wide:p41", P42 = "wide:p42", P43 = "wide:p43", P44 = "wide:p44", P45 = "wide:p45",
    P46 = "wide:p46", P47 = "wide:p47", P48 = "wide:p48", P49 = "wide:p49", P50 = "wide:p50",
    P51 = "wide:p51", P52 = "wide:p52", P53 = "wide:p53", P54 = "wide:p54", P55 = "wide:p55",
    P56 = "wide:p56", P57 = "wide:p57", P58 = "wide:p58", P59 = "wide:p59", P60 = "wide:p60",
    P61 = "wide:p61", P62 = "wide:p62", P63 = "wide:p63", P64 = "wide:p64", P65 = "wide:p65",
    P66 = "wide:p66", P67 = "wide:p67", P68 = "wide:p68", P69 = "wide:p69", P70 = "wide:p70",
    P71 = "wide:p71", P72 = "wide:p72", P73 = "wide:p73", P74 = "wide:p74", P75 = "wide:p75",
    P76 = "wide:p76", P77 = "wide:p77", P78 = "wide:p78", P79 = "wide:p79", P80 = "wide:p80",
    P81 = "wide:p81", P82 = "wide:p82", P83 = "wide:p83", P84 = "wide:p84", P85 = "wide:p85",
    P86 = "wide:p86", P87 = "wide:p87", P88 = "wide:p88", P89 = "wide:p89", P90 = "wide:p90",
    P91 = "wide:p91", P92 = "wide:p92", P93 = "wide:p93", P94 = "wide:p94", P95 = "wide:p95",
    P96 = "wide:p96", P97 = "wide:p97", P98 = "wide:p98", P99 = "wide:p99", P100 = "wide:p100",
    P101 = "wide:p101", P102 = "wide:p102", P103 = "wide:p103", P104 = "wide:p104", P105 =
    "wide:p105", P106 = "wide:p106", P107 = "wide:p107", P108 = "wide:p108", P109 = "wide:p109",
    P110 = "wide:p110", P111 = "wide:p111", P112 = "wide:p112", P113 = "wide:p113", P114 =
    "wide:p114", P115 = "wide:p115", P116 = "wide:p116", P117 = "wide:p117", P118 = "wide:p118",
    P119 = "wide:p119", P120 = "wide:p120", P121 = "wide:p121", P122 = "wide:p122", P123 =
    "wide:p123", P124 = "wide:p124", P125 = "wide:p125", P126 = "wide:p126", P127 = "wide:p127",
    P128 = "wide:p128", P129 = "wide:p129"
} }

#[test]
fn a_permission_beyond_the_first_word_has_its_own_bit() {
    let some = Permissions::named(&WIDE, ["wide:p0", "wide:p63", "wide:p64", "wide:p129"]);
    assert!(
        some.contains::<P0>() && some.contains::<P63>() && some.contains::<P64>() && some.contains::<P129>()
    );
    assert!(
        !some.contains::<P1>()
            && !some.contains::<P62>()
            && !some.contains::<P65>()
            && !some.contains::<P128>()
    );
    assert_eq!(format!("{some:?}"), r#"{"wide:p0", "wide:p63", "wide:p64", "wide:p129"}"#);
    assert_eq!((P129::BIT, WIDE.by_name("wide:p129")), (129, Some(129)));
}

#[test]
fn every_permission_alone_is_only_itself() {
    for name in WIDE.permissions() {
        assert_eq!(Permissions::named(&WIDE, [*name]).names().collect::<Vec<_>>(), [*name]);
    }
}

#[test]
fn names_of_other_services_count_for_nothing() {
    let none = Permissions::named(&WIDE, ["notes:read", "", "wide:p130", "wide:p1 ", "WIDE:P1", "*"]);
    assert_eq!(none.names().count(), 0);
}

#[test]
fn a_permission_of_another_matrix_is_not_given_though_its_bit_is() {
    let token =
        issuer().issue(&Grant::new(TenantId::new(), "user:7").with_permissions((P0, P1, P2))).unwrap();
    let principal = Principal::new(verifier().verify(token.expose()).unwrap(), &WIDE, None);
    assert!(principal.may::<P0>().is_some());
    assert!(principal.may::<ReadNotes>().is_none());
    assert_eq!(principal.require::<WriteNotes>().unwrap_err().status(), 403);
}

#[test]
fn a_rule_on_the_data_is_answered_like_a_missing_permission() {
    let token =
        issuer().issue(&Grant::new(TenantId::new(), "user:7").with_permissions((ReadNotes,))).unwrap();
    let principal = Principal::new(verifier().verify(token.expose()).unwrap(), &support::MATRIX, None);
    let may = principal.require::<ReadNotes>().unwrap();
    assert_eq!(may.only_if("user:7" == may.subject()), Ok(()));
    assert_eq!(may.only_if("user:8" == may.subject()).unwrap_err().status(), 403);
}
