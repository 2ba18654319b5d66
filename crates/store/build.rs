//! A new migration must be compiled in, and cargo does not look outside the crate by itself.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
