//! What a matrix looks things up in, computed when the program is compiled: the place of each name, and the set of each role.

use super::BuiltInRole;
use super::names::{is_permission, is_role, same};

/// 16,384: 2 KiB for a set of permissions, and more than any service has handlers.
const MAX_PERMISSIONS: usize = 16_384;
/// 256 roles that a program knows by itself; tenants have their own beside them.
const MAX_ROLES: usize = 256;
/// A slot without a name.
const EMPTY: u32 = u32::MAX;

/// Slots of a hash table that is at most half full, so that a search ends soon, and ends.
pub(super) const fn slots(names: usize) -> usize {
    assert!(names <= MAX_PERMISSIONS, "a matrix has at most 16,384 permissions");
    if names == 0 { 2 } else { (names * 2).next_power_of_two() }
}

/// Words of a set with a bit for each permission.
pub(super) const fn words(permissions: usize) -> usize {
    permissions.div_ceil(u64::BITS as usize)
}

pub(super) const fn index<const SLOTS: usize>(names: &[&str]) -> [u32; SLOTS] {
    let mut table = [EMPTY; SLOTS];
    let mut i = 0;
    while i < names.len() {
        assert!(is_permission(names[i]), "a permission is named `domain:action`, in lower case");
        assert!(find(&table, names, names[i]).is_none(), "a permission comes twice");
        let mut at = first_slot(names[i], SLOTS);
        while table[at] != EMPTY {
            at = (at + 1) & (SLOTS - 1);
        }
        table[at] = i as u32;
        i += 1;
    }
    table
}

/// The place of a name among the names.
pub(super) const fn find(table: &[u32], names: &[&str], name: &str) -> Option<u32> {
    let mut at = first_slot(name, table.len());
    while table[at] != EMPTY {
        if same(names[table[at] as usize], name) {
            return Some(table[at]);
        }
        at = (at + 1) & (table.len() - 1);
    }
    None
}

/// FNV-1a; the names that are looked for come from signed tokens.
const fn first_slot(name: &str, slots: usize) -> usize {
    let name = name.as_bytes();
    let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while i < name.len() {
        hash = (hash ^ name[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    // The high bits are the better ones.
    (hash >> 32) as usize & (slots - 1)
}

/// The permissions of each role, its parents' included: `words` for the first role, then for the second.
pub(super) const fn sets<const WORDS: usize>(
    names: &[&str],
    table: &[u32],
    roles: &[BuiltInRole],
) -> [u64; WORDS] {
    assert!(roles.len() <= MAX_ROLES, "a matrix has at most 256 roles");
    let mut sets = [0; WORDS];
    let mut role = 0;
    while role < roles.len() {
        assert!(is_role(roles[role].name), "a role is named in lower-case letters, digits, `_` and `-`");
        assert!(matches!(role_at(roles, roles[role].name), Some(at) if at == role), "a role comes twice");
        let mut i = 0;
        while i < roles[role].grants.len() {
            let Some(bit) = find(table, names, roles[role].grants[i]) else {
                panic!("a role grants a permission that its matrix does not have");
            };
            sets[role * words(names.len()) + (bit / u64::BITS) as usize] |= 1 << (bit % u64::BITS);
            i += 1;
        }
        role += 1;
    }
    inherit(&mut sets, words(names.len()), roles);
    sets
}

/// Round by round, those inherit whose parents are complete. A round in which nobody can is a circle.
const fn inherit(sets: &mut [u64], words: usize, roles: &[BuiltInRole]) {
    let (mut complete, mut left) = ([false; MAX_ROLES], roles.len());
    while left > 0 {
        let (before, mut role) = (left, 0);
        while role < roles.len() {
            if !complete[role] && parents_are(&complete, &roles[role], roles) {
                let mut i = 0;
                while i < roles[role].inherits.len() {
                    if let Some(parent) = role_at(roles, roles[role].inherits[i]) {
                        add(sets, words, role, parent);
                    }
                    i += 1;
                }
                complete[role] = true;
                left -= 1;
            }
            role += 1;
        }
        assert!(left < before, "roles inherit from each other in a circle");
    }
}

const fn parents_are(complete: &[bool], role: &BuiltInRole, roles: &[BuiltInRole]) -> bool {
    let mut i = 0;
    while i < role.inherits.len() {
        match role_at(roles, role.inherits[i]) {
            Some(parent) if complete[parent] => i += 1,
            Some(_) => return false,
            None => panic!("a role inherits from one that its matrix does not have"),
        }
    }
    true
}

const fn add(sets: &mut [u64], words: usize, role: usize, parent: usize) {
    let mut word = 0;
    while word < words {
        sets[role * words + word] |= sets[parent * words + word];
        word += 1;
    }
}

pub(super) const fn role_at(roles: &[BuiltInRole], name: &str) -> Option<usize> {
    let mut i = 0;
    while i < roles.len() {
        if same(roles[i].name, name) {
            return Some(i);
        }
        i += 1;
    }
    None
}
