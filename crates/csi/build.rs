//! Makes Rust of the protocol files, without protoc; and keeps their descriptors, by which messages are
//! shown, stripped of secrets and described to clients at run time.

use std::path::PathBuf;

const FILES: [&str; 2] = ["csi.proto", "pluginregistration.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_files(FILES)?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Encoded by the compiler itself, which keeps the options that CSI defines, such as `csi_secret`.
    std::fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let mut messages = tonic_prost_build::Config::new();
    // Each message knows its full name, by which its descriptor is found.
    messages.enable_type_names();
    tonic_prost_build::configure()
        .compile_fds_with_config(compiler.file_descriptor_set(), messages)?;
    Ok(())
}
