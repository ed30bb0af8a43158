//! Flow 1, pure: which record lies in which bundle.
//!
//! A record stays where it is while it fits, and one that goes leaves room, so that a change of one rewrites no other. A new one goes into the
//! first bundle with room to spare: what is there may grow. One that outgrew its bundle moves to another.
//!
//! While it moves it is in two. The one in the later bundle counts: for the controller, for servers, and for a Pod that mounts both in their
//! order. So a move takes effect with one of its two writes, whatever happens between them, and the earlier copy is always the one to remove.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::ByteString;

use crate::{
    controller::fetch::ObjectVersion,
    record::{self, Kind, bundle},
};

/// New records go where they leave this much unused.
const SPARE: usize = 80 * 1024;

/// The data of one bundle.
pub(super) type Data = BTreeMap<String, ByteString>;
/// What a write changes in one bundle: a value, or nothing in its place.
pub(super) type Edit = BTreeMap<String, Option<ByteString>>;

/// What a bundle is to hold from now on.
pub(super) enum Change {
    /// A record that does not exist yet, or one that is still as it was seen.
    Put { file: String, json: ByteString, seen: Option<ObjectVersion> },
    /// No longer a record that is still as it was seen.
    Remove { file: String, seen: ObjectVersion },
}

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The record is not as it was seen.
    Changed,
    /// No bundle can take it.
    NoRoom,
}

/// A record on its way: written to one bundle first, then removed from the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) file: String,
    pub(super) json: ByteString,
    pub(super) from: u8,
    pub(super) to: u8,
}

/// All bundles of a namespace, as they are to be, and what has to be written for it.
pub(super) struct Layout {
    bundles: Vec<Bundle>,
    /// New records go into the first so many.
    open: usize,
    edits: BTreeMap<u8, Edit>,
    moves: Vec<Move>,
}

struct Bundle {
    data: Data,
    bytes: usize,
}

/// A record in a bundle has no version of its own; its content says as well whether it is still the one that was seen.
pub(super) fn version(json: &ByteString) -> ObjectVersion {
    let digest = digest::digest(&digest::SHA256, &json.0);
    ObjectVersion { uid: String::new(), resource_version: URL_SAFE_NO_PAD.encode(digest) }
}

fn size(file: &str, json: &ByteString) -> usize {
    file.len() + json.0.len()
}

impl Layout {
    /// What is there, in the order of the bundles, of which only the first `open` are to be used.
    pub(super) fn new(bundles: Vec<Data>, open: usize) -> Self {
        let bundles = bundles.into_iter().map(|data| {
            let bytes = data.iter().map(|(file, json)| size(file, json)).sum();
            Bundle { data, bytes }
        });
        let mut layout = Self { bundles: bundles.collect(), open, edits: BTreeMap::new(), moves: Vec::new() };
        layout.finish_moves();
        layout.clear_closed();
        layout
    }

    fn numbered(&self) -> impl Iterator<Item = (u8, &Bundle)> {
        (0..).zip(&self.bundles)
    }

    /// What an earlier controller left in two places.
    fn finish_moves(&mut self) {
        let files =
            self.numbered().flat_map(|(index, bundle)| bundle.data.keys().map(move |file| (file.clone(), index)));
        let (mut last, mut outdated) = (BTreeMap::new(), Vec::new());
        for (file, index) in files {
            outdated.extend(last.insert(file.clone(), index).map(|earlier| (earlier, file)));
        }
        for (index, file) in outdated {
            self.edit(index, file, None);
        }
    }

    /// The configuration allows fewer than it did. What finds no room stays, and is not seen by those who mount only the allowed ones.
    fn clear_closed(&mut self) {
        let closed = self.numbered().skip(self.open);
        let all = closed.flat_map(|(index, bundle)| bundle.data.clone().into_iter().map(move |entry| (index, entry)));
        for (from, (file, json)) in all.collect::<Vec<_>>() {
            let Some(to) = self.room_for(size(&file, &json)) else { continue };
            self.moves.push(Move { file, json, from, to });
        }
    }

    /// A record, and the bundle that it lies in.
    pub(super) fn get(&self, file: &str) -> Option<(u8, &ByteString)> {
        self.numbered().filter_map(|(index, bundle)| Some((index, bundle.data.get(file)?))).last()
    }

    /// Whether a record of a resource is anywhere.
    pub(super) fn has_records(&self) -> bool {
        let mut files = self.bundles.iter().flat_map(|bundle| bundle.data.keys());
        files.any(|file| record::kind_of_file(file).is_some_and(|kind| kind != Kind::SigningKeys))
    }

    /// Makes a change. Returns the bundles that have to be written for it.
    pub(super) fn apply(&mut self, change: Change) -> Result<Vec<u8>, Refusal> {
        match change {
            Change::Put { file, json, seen } => self.put(file, json, seen.as_ref()),
            Change::Remove { file, seen } => {
                let index = self.unchanged(&file, Some(&seen))?.ok_or(Refusal::Changed)?;
                self.edit(index, file, None);
                Ok(vec![index])
            }
        }
    }

    /// Where a record lies that is still as it was seen.
    fn unchanged(&self, file: &str, seen: Option<&ObjectVersion>) -> Result<Option<u8>, Refusal> {
        let moving = self.moves.iter().any(|other| other.file == file);
        match self.get(file) {
            found if !moving && found.map(|(_, json)| version(json)).as_ref() == seen => {
                Ok(found.map(|(index, _)| index))
            }
            _ => Err(Refusal::Changed),
        }
    }

    fn put(&mut self, file: String, json: ByteString, seen: Option<&ObjectVersion>) -> Result<Vec<u8>, Refusal> {
        let Some(from) = self.unchanged(&file, seen)? else {
            let to = self.room_for(size(&file, &json)).ok_or(Refusal::NoRoom)?;
            self.edit(to, file, Some(json));
            return Ok(vec![to]);
        };
        let bundle = &self.bundles[usize::from(from)];
        let former = bundle.data.get(&file).map_or(0, |former| size(&file, former));
        if bundle.bytes - former + self.on_its_way_to(from) + size(&file, &json) <= bundle::MAX_BYTES {
            self.edit(from, file, Some(json));
            return Ok(vec![from]);
        }
        let to = self.room_for(size(&file, &json)).ok_or(Refusal::NoRoom)?;
        self.moves.push(Move { file, json, from, to });
        Ok(vec![from, to])
    }

    fn room_for(&self, bytes: usize) -> Option<u8> {
        let within = |limit: usize| {
            let mut all = self.numbered().take(self.open);
            all.find(|(index, bundle)| bundle.bytes + self.on_its_way_to(*index) + bytes <= limit)
                .map(|(index, _)| index)
        };
        within(bundle::MAX_BYTES - SPARE).or_else(|| within(bundle::MAX_BYTES))
    }

    fn on_its_way_to(&self, index: u8) -> usize {
        self.moves.iter().filter(|next| next.to == index).map(|next| size(&next.file, &next.json)).sum()
    }

    fn edit(&mut self, index: u8, file: String, json: Option<ByteString>) {
        let bundle = &mut self.bundles[usize::from(index)];
        let added = json.as_ref().map_or(0, |json| size(&file, json));
        let former = match &json {
            Some(json) => bundle.data.insert(file.clone(), json.clone()),
            None => bundle.data.remove(&file),
        };
        bundle.bytes = bundle.bytes + added - former.map_or(0, |former| size(&file, &former));
        self.edits.entry(index).or_default().insert(file, json);
    }

    /// Has a bundle written though nothing in its data changes.
    pub(super) fn touch(&mut self, index: u8) {
        self.edits.entry(index).or_default();
    }

    /// What has to be written; moves after everything else.
    pub(super) fn take_edits(&mut self) -> (BTreeMap<u8, Edit>, Vec<Move>) {
        (std::mem::take(&mut self.edits), std::mem::take(&mut self.moves))
    }

    /// Notes a move whose writes are done.
    pub(super) fn moved(&mut self, done: Move) {
        let Move { file, json, from, to } = done;
        self.edit(to, file.clone(), Some(json));
        self.edit(from, file, None);
        self.edits.clear();
    }
}

#[cfg(test)]
mod tests;
