//! `RuntimeDefault` for a bare runtime: the profile that Debian's packages carry for podman, translated into the form of an OCI
//! specification for one architecture and one set of capabilities. It refuses to run without the profile.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Where Debian's golang-github-containers-common (skopeo needs it) puts the profile.
const PROFILE: &str = "/usr/share/containers/seccomp.json";
/// The architecture's names: in the profile's conditions, and in what the runtime takes.
const ARCHITECTURE: (&str, &str) =
    if cfg!(target_arch = "aarch64") { ("arm64", "SCMP_ARCH_AARCH64") } else { ("amd64", "SCMP_ARCH_X86_64") };

/// The profile for a container that has these capabilities.
///
/// # Errors
/// When the profile is missing or is none.
pub fn runtime_default(capabilities: &[&str]) -> Result<Value> {
    let text =
        std::fs::read_to_string(PROFILE).with_context(|| format!("cannot read {PROFILE}: is skopeo installed?"))?;
    let profile: Value = serde_json::from_str(&text).with_context(|| format!("{PROFILE} is no profile"))?;
    let rules = profile.get("syscalls").and_then(Value::as_array).with_context(|| format!("{PROFILE} has no rules"))?;
    let rules: Vec<Value> = rules.iter().filter(|rule| applies(rule, capabilities)).map(translated).collect();
    let below = profile.get("archMap").and_then(Value::as_array).into_iter().flatten();
    let below = below.filter(|map| map.get("architecture").and_then(Value::as_str) == Some(ARCHITECTURE.1));
    let mut architectures = vec![ARCHITECTURE.1.to_owned()];
    architectures.extend(below.flat_map(|map| words(map, "subArchitectures")));
    Ok(json!({
        "defaultAction": profile.get("defaultAction"),
        "defaultErrnoRet": profile.get("defaultErrnoRet"),
        "architectures": architectures,
        "syscalls": rules,
    }))
}

/// Whether a rule is for this architecture and these capabilities.
fn applies(rule: &Value, capabilities: &[&str]) -> bool {
    let listed = |part: &str, kind: &str| rule.get(part).map(|part| words(part, kind)).unwrap_or_default();
    let has = |name: &String| capabilities.contains(&name.as_str());
    let here = |name: &String| name == ARCHITECTURE.0;
    let arches = listed("includes", "arches");
    (arches.is_empty() || arches.iter().any(here))
        && listed("includes", "caps").iter().all(has)
        && !listed("excludes", "arches").iter().any(here)
        && !listed("excludes", "caps").iter().any(has)
}

fn translated(rule: &Value) -> Value {
    let mut out = json!({ "names": rule.get("names"), "action": rule.get("action") });
    for key in ["args", "errnoRet"] {
        let value =
            rule.get(key).filter(|value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty()));
        if let (Some(value), Some(out)) = (value, out.as_object_mut()) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    out
}

fn words(of: &Value, key: &str) -> Vec<String> {
    let all = of.get(key).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}
