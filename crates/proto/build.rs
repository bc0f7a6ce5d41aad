//! Compiles every contract under `/proto` to Rust and to one descriptor set, without a system
//! protoc.
//! *Invariant:* the embedded descriptors keep the `google.api.http` options and the comments.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost::Message;
use prost_types::FileDescriptorSet;
use protox::prost_reflect::DescriptorPool;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(required("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(required("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(contracts(&root)?)?;
    // The bytes of protox, not a re-encoded prost struct: prost would drop the custom options.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("nexus.descriptors.bin"), &encoded)?;

    fs::write(out.join("public_rpcs.rs"), public_rpcs(&encoded)?)?;

    let mut set = FileDescriptorSet::decode(encoded.as_slice())?;
    // No Rust code refers to google.api; google.protobuf stays, and maps to prost-types.
    set.file.retain(|file| file.package() != "google.api");
    tonic_prost_build::configure()
        .out_dir(&out)
        .include_file("nexus.rs")
        .generate_default_stubs(true)
        .emit_rerun_if_changed(false)
        .compile_fds(set)?;
    Ok(())
}

/// The paths of all rpcs with a route, as a Rust array.
fn public_rpcs(descriptors: &[u8]) -> Result<String, Box<dyn Error>> {
    let pool = DescriptorPool::decode(descriptors)?;
    let http = pool.get_extension_by_name("google.api.http").ok_or("no google.api.http")?;
    let mut paths = String::from("&[\n");
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        if method.options().has_extension(&http) {
            let service = method.parent_service();
            paths.push_str(&format!("    \"/{}/{}\",\n", service.full_name(), method.name()));
        }
    }
    paths.push(']');
    Ok(paths)
}

fn required(variable: &str) -> Result<String, Box<dyn Error>> {
    env::var_os(variable)
        .and_then(|value| value.into_string().ok())
        .ok_or_else(|| format!("{variable} is not set; run this through cargo").into())
}

/// Every `.proto` file below `root`, sorted, so that the same tree gives the same bytes.
fn contracts(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
