//! Mistakes of the program rather than of its environment: they show at the first start, in whatever environment.

use std::collections::BTreeMap;

use shared_core::schema::{Code, Mistake, Profile, Variable};

use crate::kubernetes;

/// All names of the program, each with the setting that it belongs to.
pub(crate) type Names<'a> = BTreeMap<String, &'a str>;

/// Every name belongs to one setting, and none to Kubernetes.
pub(crate) fn names<'a>(known: &'a [Variable], prefix: &str) -> (Names<'a>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    let mut names = Names::from([(Profile::variable(prefix), "the profile")]);
    for variable in known {
        for name in variable.names() {
            if kubernetes::takes(&name, prefix) {
                let message =
                    format!("`{}` has a name that Kubernetes sets for a service of this name", variable.path);
                mistakes.push(Mistake::new(&name, Code::Declaration, message).hint("rename the field"));
            }
            if let Some(other) = names.get(&name) {
                let message = format!("`{other}` and `{}` have the same name", variable.path);
                mistakes
                    .push(Mistake::new(&name, Code::Declaration, message).hint("rename one of the fields"));
            }
            names.insert(name, &variable.path);
        }
    }
    (names, mistakes)
}
