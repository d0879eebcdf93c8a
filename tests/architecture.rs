//! The invariants of ARCHITECTURE.md that can be read off the sources.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source below a folder, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            out.push((path, text));
        }
    }
    out
}

/// The code of a source, without comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn dependencies(member: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

fn names_anywhere(folder: &str, word: &str) -> Vec<PathBuf> {
    sources(&root().join(folder).join("src"))
        .into_iter()
        .filter(|(_, text)| code(text).contains(word))
        .map(|(p, _)| p)
        .collect()
}

#[test]
fn arrows_between_crates_point_right() {
    let ours = |member: &str| -> Vec<String> {
        dependencies(member).into_iter().filter(|name| name.starts_with("casemesh-")).collect()
    };
    assert!(ours("crypto").is_empty());
    assert_eq!(ours("protocol"), ["casemesh-crypto"]);
    assert_eq!(ours("node"), ["casemesh-crypto", "casemesh-protocol"]);
    assert_eq!(ours("web"), ["casemesh-crypto", "casemesh-node", "casemesh-protocol"]);
}

#[test]
fn only_crypto_names_an_algorithm() {
    for member in [".", "protocol", "node", "web"] {
        for crate_name in ["ed25519-dalek", "chacha20poly1305", "hpke", "argon2", "hkdf", "sha2"] {
            assert!(!dependencies(member).contains(&crate_name.to_owned()), "{member} depends on {crate_name}");
        }
    }
}

#[test]
fn protocol_is_pure() {
    for forbidden in
        ["tokio", "libp2p", "sled", "axum", "std::fs", "std::env", "std::net", "SystemTime", "Instant::now", "os_rng"]
    {
        let found: Vec<PathBuf> = sources(&root().join("protocol/src"))
            .into_iter()
            .filter(|(_, text)| code(text).split("#[cfg(test)]").next().unwrap().contains(forbidden))
            .map(|(path, _)| path)
            .collect();
        assert!(found.is_empty(), "{forbidden} in {found:?}");
    }
}

#[test]
fn each_engine_stands_behind_one_module() {
    assert_eq!(names_anywhere("node", "libp2p"), [root().join("node/src/net.rs")]);
    assert_eq!(names_anywhere("node", "sled::"), [root().join("node/src/store/sled_store.rs")]);
    for member in [".", "crypto", "protocol", "web"] {
        for engine in ["libp2p", "sled"] {
            assert!(!dependencies(member).contains(&engine.to_owned()), "{member} depends on {engine}");
        }
    }
    for member in [".", "crypto", "protocol", "node"] {
        for engine in ["axum", "askama"] {
            assert!(!dependencies(member).contains(&engine.to_owned()), "{member} depends on {engine}");
        }
    }
}

#[test]
fn policy_records_and_names_do_no_input_or_output() {
    for file in ["policy.rs", "records.rs", "names.rs", "codes.rs"] {
        let text = fs::read_to_string(root().join("node/src").join(file)).unwrap();
        for forbidden in ["std::fs", "std::io", "std::net", "tokio", "clock::", "os_rng"] {
            assert!(!code(&text).contains(forbidden), "{forbidden} in {file}");
        }
    }
}

#[test]
fn a_disclosure_can_only_be_made_with_a_permit() {
    let outgoing = fs::read_to_string(root().join("protocol/src/outgoing.rs")).unwrap();
    let text = code(&outgoing);
    let signatures = text.split("pub fn ").skip(1).filter_map(|rest| rest.split('{').next());
    let makers: Vec<bool> = signatures
        .filter(|signature| signature.contains("Result<Self, BeyondPermit>"))
        .map(|signature| signature.contains("permit: &Permit"))
        .collect();
    assert_eq!(makers, [true; 4], "preview, full packet, one that waits, names");
    let consent = fs::read_to_string(root().join("protocol/src/consent.rs")).unwrap();
    let makers = code(&consent).split("#[cfg(test)]").next().unwrap().matches("Result<Self, ConsentProblem>").count();
    assert_eq!(makers, 1, "one rule makes permits");
}

#[test]
fn unsafe_code_is_forbidden_and_every_member_takes_the_lints() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in [".", "crypto", "protocol", "node", "web"] {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{member}");
    }
}

/// Version floors below which a crate has a known hole (advisories that no database we reach carries).
const FLOORS: &[(&str, &str)] = &[
    ("crossbeam-epoch", "0.9.20"),
    ("curve25519-dalek", "4.1.3"),
    ("ed25519-dalek", "2.0.0"),
    ("h2", "0.4.16"),
    ("hickory-proto", "0.26.1"),
    ("hpke", "0.15.0"),
    ("libp2p-gossipsub", "0.49.4"),
    ("libp2p-quic", "0.13.1"),
    ("libp2p-rendezvous", "0.17.1"),
    ("lru", "0.18.2"),
    ("ml-kem", "0.3.4"),
    ("quinn-proto", "0.11.15"),
    ("rustls-webpki", "0.103.13"),
    ("snow", "0.9.5"),
    ("time", "0.3.47"),
    ("yamux", "0.13.10"),
    ("zip", "2.3.0"),
];

/// Crates that must not be there.
const BANNED: &[&str] = &["openssl", "native-tls", "bincode", "sharks", "serde_cbor", "rsa"];

fn version(text: &str) -> Vec<u64> {
    text.split(['-', '+']).next().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn dependencies_keep_to_floors_sources_and_licences() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let licences = [
        "MIT",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Unicode-3.0",
        "Zlib",
        "CC0-1.0",
        "Unlicense",
        "BlueOak-1.0.0",
        "BSL-1.0",
        "MPL-2.0",
        "MIT-0",
        "0BSD",
        "Apache-2.0 WITH LLVM-exception",
    ];
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let found = package["version"].as_str().unwrap();
        if let Some((_, floor)) = FLOORS.iter().find(|(floored, _)| *floored == name) {
            assert!(version(found) >= version(floor), "{name} {found} is below {floor}");
        }
        assert!(!BANNED.contains(&name), "{name} must not be there");
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
        let licence = package["license"].as_str().unwrap_or_default().replace(['(', ')'], "").replace('/', " OR ");
        let acceptable =
            licence.split(" OR ").any(|choice| choice.split(" AND ").all(|part| licences.contains(&part.trim())));
        assert!(acceptable, "{name} is under {licence:?}");
    }
}

/// A worker judges the risk that a person is in, in their own words: no code adds it up, ranks by it or sorts by it.
#[test]
fn no_code_computes_or_ranks_the_risk_of_a_person() {
    let shows = ["node/src/office/standing.rs", "node/src/office/views.rs"];
    // How many open cases have which level is a figure (I18); it compares and orders no level.
    let counts = ["protocol/src/indicators/source.rs", "node/src/office/columns/cases.rs"];
    for folder in ["node/src", "protocol/src", "web/src", "src"] {
        for (path, text) in sources(&root().join(folder)) {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            let text = code(&text);
            for word in ["risk_score", "risk_rank", "vulnerability_score", "RiskScore", "RiskLevel", "by_risk"] {
                assert!(!text.contains(word), "{word} in {name}");
            }
            // The level is read in one place, which shows the last one that somebody wrote.
            assert!(
                !text.contains("\"risk_level\"")
                    || name.ends_with("codes.rs")
                    || shows.contains(&name.as_str())
                    || counts.contains(&name.as_str()),
                "{name}"
            );
        }
    }
    let standing = fs::read_to_string(root().join("node/src/office/standing.rs")).unwrap();
    assert_eq!(code(&standing).matches("\"risk_level\"").count(), 1);
    for computed in ["risk_level.cmp", "match level", "level.code.parse"] {
        assert!(!code(&standing).contains(computed), "{computed}");
    }
    let packs = fs::read_to_string(root().join("node/packs/forms.toml")).unwrap();
    assert!(!packs.contains("score_of"), "no form adds answers up");
}
