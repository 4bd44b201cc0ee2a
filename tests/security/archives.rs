//! Archives from strangers: what leads out of its folder, lies about what it holds, or is more than it seems.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use hayloft_testkit::PluginFolder;
use serde_json::json;
use tar::EntryType as Kind;

use crate::harness::Setup;
use crate::uploaded::{ID, entry, entry_of, good, manifest, tgz, upload, zip};

in_setups!(strongest Strongest, ordinary Ordinary:
    archives_that_lead_out_or_lie_are_refused,
    bombs_do_not_go_off
);

async fn archives_that_lead_out_or_lie_are_refused(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let canary = server.folder().join("canary");
    fs::write(&canary, "precious").unwrap();
    let text = manifest(ID, "1.0.0", &json!({}));
    let code = entry_of("1");
    let with = |more: &dyn Fn(&mut tar::Builder<Vec<u8>>)| {
        tgz(|builder| {
            entry(builder, Kind::Regular, b"package/package.json", b"", 0o644, text.as_bytes());
            entry(builder, Kind::Regular, b"package/index.js", b"", 0o644, code.as_bytes());
            more(builder);
        })
    };
    let mut evil: Vec<(String, Vec<u8>)> = Vec::new();
    let out = canary.display().to_string();
    let names: [&[u8]; 12] = [
        b"../../../../canary",
        b"package/../../../../../canary",
        out.as_bytes(),
        b"./..//canary",
        b"C:canary",
        b"..\\canary",
        b"package/x\ny",
        b"package/\x1b[2J",
        b"\xc0\xae\xc0\xae/canary",
        b"..\xc0\xaf..\xc0\xafcanary",
        b"package/x.",
        b"package/x ",
    ];
    for name in names {
        let shown = String::from_utf8_lossy(name).into_owned();
        evil.push((shown, with(&|builder| entry(builder, Kind::Regular, name, b"", 0o644, b"evil"))));
    }
    let links: [(Kind, &[u8], &[u8]); 7] = [
        (Kind::Symlink, b"package/x", b"/etc/passwd"),
        (Kind::Symlink, b"package/x", b"../../../../canary"),
        (Kind::Symlink, b"package/x", b""),
        (Kind::Link, b"package/x", b"/etc/passwd"),
        (Kind::Link, b"package/x", b"package/index.js"),
        (Kind::Char, b"package/x", b""),
        (Kind::Fifo, b"package/x", b""),
    ];
    for (kind, name, target) in links {
        let shown = format!("{kind:?} to {}", String::from_utf8_lossy(target));
        evil.push((shown, with(&|builder| entry(builder, kind, name, target, 0o777, b""))));
    }
    evil.push((
        "a file through a link".into(),
        with(&|builder| {
            entry(builder, Kind::Symlink, b"package/out", b"../../../..", 0o777, b"");
            entry(builder, Kind::Regular, b"package/out/canary", b"", 0o644, b"evil");
        }),
    ));
    for twin in ["package/package.json", "package/Package.json", "package/./package.json"] {
        let twice = with(&|builder| entry(builder, Kind::Regular, twin.as_bytes(), b"", 0o644, b"{}"));
        evil.push((format!("twice {twin}"), twice));
    }
    let whole = good("1.0.0", &json!({}), "1");
    evil.push(("an archive behind its end".into(), [&whole[..], &whole[..]].concat()));
    let zipped = zip(&[("package.json", text.as_bytes()), ("index.js", code.as_bytes())]);
    let mut differing = zipped.clone();
    differing[30] = b'q';
    evil.push(("two names in a zip".into(), differing));
    let mut two_ends = zipped.clone();
    let end = zipped.len() - 22;
    two_ends[end + 20] = 22;
    two_ends.extend(&zipped[end..]);
    evil.push(("two ends in a zip".into(), two_ends));
    evil.push(("a zip behind a zip".into(), [&zipped[..], &zipped[..]].concat()));
    evil.push(("a zip that leads out".into(), zip(&[("package.json", b"{}"), ("../../canary", b"evil")])));
    evil.push(("nothing".into(), Vec::new()));
    let before = tree(&server.data_folder().join("plugins"));
    for (what, archive) in evil {
        let refused = upload(&acme, "", &archive).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        assert!(!refused.text().contains(server.data_folder().to_str().unwrap()), "{}", refused.text());
        assert_eq!(fs::read_to_string(&canary).unwrap(), "precious", "{what}");
        assert_eq!(tree(&server.data_folder().join("plugins")), before, "{what}");
        assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0, "{what}");
    }
    // Special rights are no part of what is kept; the rest of such an archive is fine, and so are both kinds.
    let rights = with(&|builder| entry(builder, Kind::Regular, b"package/run", b"", 0o6777, b"#!/bin/sh"));
    upload(&acme, "", &rights).await.expect(201);
    let place = server.data_folder().join("plugins/custom").join(&acme.id).join(ID);
    assert_eq!(fs::metadata(place.join("run")).unwrap().permissions().mode() & 0o7777, 0o755);
    let other = server.organization("Other").await;
    upload(&other, "", &zipped).await.expect(201);
}

async fn bombs_do_not_go_off(setup: Setup) {
    let plugins = PluginFolder::new();
    let server = setup.server(&plugins).start().await;
    let acme = server.organization("Acme").await;
    let zeros = vec![0_u8; 24 << 20];
    let large = {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_ustar();
        header.set_size(zeros.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, "package/zeros", &zeros[..]).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    };
    let zipped = zip(&[("zeros", &zeros)]);
    let nested = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&large).unwrap();
        encoder.finish().unwrap()
    };
    let many = tgz(|builder| {
        for number in 0..60_000 {
            entry(builder, Kind::Regular, format!("package/{number}").as_bytes(), b"", 0o644, b"");
        }
    });
    for (what, bomb) in [("large", large), ("zip", zipped), ("nested", nested), ("many", many)] {
        let refused = upload(&acme, "", &bomb).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        assert_eq!(fs::read_dir(server.data_folder().join("uploads")).unwrap().count(), 0, "{what}");
    }
    upload(&acme, "", &good("1.0.0", &json!({}), "1")).await.expect(201);
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => {
                    all.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
                }
                _ => all.push((entry.path().display().to_string(), Vec::new())),
            }
        }
    }
    all.sort();
    all
}
