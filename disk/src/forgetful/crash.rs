//! What is left of an image after the power failed.
//!
//! The walk starts at the root and follows durable (and, torn, some pending) names only: a file whose name was lost is lost
//! whatever of its content was synced.

use std::collections::HashMap;

use super::image::{DirImage, FileImage, Image, Node, ROOT};
use super::{CrashMode, SECTOR};

/// The file system found at the next start; all of it is durable.
pub(super) fn survivors(image: &Image, mode: CrashMode) -> Image {
    let mut nodes = HashMap::new();
    let mut coin = Coin::new(mode);
    let mut waiting = vec![ROOT];
    while let Some(id) = waiting.pop() {
        if nodes.contains_key(&id) {
            continue;
        }
        let node = match image.node(id) {
            Node::File(file) => Node::File(surviving_file(file, &mut coin)),
            Node::Directory(directory) => {
                let directory = surviving_directory(directory, &mut coin);
                waiting.extend(directory.live.values());
                Node::Directory(directory)
            }
        };
        nodes.insert(id, node);
    }
    Image {
        nodes,
        next: image.next,
    }
}

fn surviving_directory(directory: &DirImage, coin: &mut Coin) -> DirImage {
    let mut names = directory.durable.clone();
    for change in &directory.pending {
        if coin.keeps() {
            change.apply(&mut names);
        }
    }
    DirImage {
        live: names.clone(),
        durable: names,
        pending: Vec::new(),
    }
}

fn surviving_file(file: &FileImage, coin: &mut Coin) -> FileImage {
    let mut bytes = file.durable.clone();
    if file.live.len() != bytes.len() && coin.keeps() {
        bytes.resize(file.live.len(), 0);
    }
    for start in (0..bytes.len().min(file.live.len())).step_by(SECTOR) {
        let end = (start + SECTOR).min(bytes.len()).min(file.live.len());
        if bytes[start..end] != file.live[start..end] && coin.keeps() {
            bytes[start..end].copy_from_slice(&file.live[start..end]);
        }
    }
    FileImage {
        live: bytes.clone(),
        durable: bytes,
        ..FileImage::new(file.modified)
    }
}

/// A seeded coin (SplitMix64); without a seed it always loses.
struct Coin {
    state: Option<u64>,
}

impl Coin {
    fn new(mode: CrashMode) -> Self {
        match mode {
            CrashMode::LoseAll => Self { state: None },
            CrashMode::Torn(seed) => Self { state: Some(seed) },
        }
    }

    fn keeps(&mut self) -> bool {
        let Some(state) = &mut self.state else { return false };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}
