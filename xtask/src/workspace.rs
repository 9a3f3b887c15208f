//! What cargo knows about the packages of the workspace.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::command::{Result, cargo, output};

pub(crate) struct Workspace {
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    pub(crate) name: String,
    /// Features without `default` and without those that cargo makes of optional dependencies.
    pub(crate) features: Vec<String>,
    /// What each feature turns on, such as `shared-core/schema`; `default` is one of them here.
    pub(crate) turns_on: BTreeMap<String, Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) library: Option<Library>,
}

pub(crate) struct Library {
    /// As code names it, with underscores.
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
}

pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) dev: bool,
    pub(crate) optional: bool,
    /// The features that are switched on with it.
    pub(crate) features: Vec<String>,
}

/// Asks cargo. No network: the packages' own manifests are enough.
pub(crate) fn workspace() -> Result<Workspace> {
    let json = output(&mut cargo(&["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&json)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(Workspace { target: target.into(), packages: list(&metadata["packages"]).map(package).collect() })
}

fn package(json: &Value) -> Package {
    let features: BTreeMap<&String, &Value> = json["features"].as_object().into_iter().flatten().collect();
    let implicit = |name: &str, turns_on: &Value| *turns_on == serde_json::json!([format!("dep:{name}")]);
    let optional =
        |name: &str| list(&json["dependencies"]).any(|d| d["name"] == *name && d["optional"] == true);
    Package {
        name: text(&json["name"]),
        turns_on: features.iter().map(|(name, on)| ((*name).clone(), list(on).map(text).collect())).collect(),
        features: features
            .into_iter()
            .filter(|(name, turns_on)| *name != "default" && !(optional(name) && implicit(name, turns_on)))
            .map(|(name, _)| name.clone())
            .collect(),
        dependencies: list(&json["dependencies"])
            .map(|dependency| Dependency {
                name: text(&dependency["name"]),
                dev: dependency["kind"] == "dev",
                optional: dependency["optional"] == true,
                features: list(&dependency["features"]).map(text).collect(),
            })
            .collect(),
        library: library(json),
    }
}

/// Of a package whose manifest and whose library are where cargo expects them.
fn library(package: &Value) -> Option<Library> {
    let is_library =
        |target: &&Value| list(&target["kind"]).any(|kind| kind == "lib" || kind == "proc-macro");
    let target = list(&package["targets"]).find(is_library)?;
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    Some(Library { name: text(&target["name"]), directory: manifest.parent()?.to_path_buf() })
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}
