//! Near misses: valid values with a few fields changed, for every type that is serialised, without naming its fields.
//!
//! [`forge`] writes a value as the codec does, but through a serializer of its own that counts the places where something could
//! be otherwise (integers, flags, options, variants, lists, byte strings) and changes those that the input chose. What comes
//! out is well formed, so that it passes the decoder and meets the checks behind it; a last step may still damage single bytes.

use crate::input::Input;
use bft_core::codec::VERSION;
use serde::ser::{self, Serialize};
use std::fmt;

/// The encoding of one of `samples` with a few fields and bytes changed, and which one it was; or, if the input begins with zero,
/// the bytes that follow, as they are.
///
/// At the end of the input nothing is changed: `[1 + n]` is sample n itself.
pub fn forge<T: Serialize>(input: &mut Input<'_>, samples: &[T]) -> (Option<usize>, Vec<u8>) {
    match input.byte() {
        0 => (None, input.rest().to_vec()),
        choice => {
            let index = usize::from(choice - 1) % samples.len();
            let mut bytes = edited(input, &samples[index]);
            damage(input, &mut bytes);
            (Some(index), bytes)
        }
    }
}

/// The encoding of `value` with up to three fields changed.
pub fn edited<T: Serialize + ?Sized>(input: &mut Input<'_>, value: &T) -> Vec<u8> {
    let places = fields(value, &[]).places;
    let count = input.below(4);
    let edits: Vec<Edit> = (0..count)
        .map(|_| Edit { place: input.short() % places.max(1), how: input.byte(), value: input.long() })
        .collect();
    [&[VERSION], fields(value, &edits).out.as_slice()].concat()
}

/// Up to three changes of single bytes, or of the length.
pub fn damage(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..input.below(4) {
        let at = input.below(bytes.len().max(1));
        match input.byte() % 4 {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(input.take(at % 16)),
            _ if bytes.is_empty() => {}
            2 => bytes[at] ^= 1 << (input.byte() % 8),
            _ => bytes[at] = input.byte(),
        }
    }
}

fn fields<T: Serialize + ?Sized>(value: &T, edits: &[Edit]) -> Fields {
    let mut fields = Fields { out: Vec::new(), places: 0, edits: edits.to_vec(), in_array: false };
    value.serialize(&mut fields).expect("plain data is written");
    fields
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    place: usize,
    how: u8,
    value: u64,
}

impl Edit {
    fn number(&self, old: u64) -> u64 {
        match self.how % 6 {
            0 => self.value,
            1 => old.wrapping_add(1),
            2 => old.wrapping_sub(1),
            3 => 0,
            4 => u64::MAX,
            _ => old ^ 1 << (self.value % 64),
        }
    }

    fn bytes(&self, bytes: &mut Vec<u8>) {
        let at = usize::try_from(self.value).unwrap_or(usize::MAX) % bytes.len().max(1);
        match self.how % 4 {
            0 => bytes.truncate(at),
            1 => bytes.push(self.value as u8),
            2 => bytes.fill(self.value as u8),
            _ if bytes.is_empty() => {}
            _ => bytes[at] ^= 1 << (self.value >> 32 & 7),
        }
    }

    /// The elements stand behind each other in `body`, beginning at `starts`.
    fn list(&self, body: Vec<u8>, starts: &mut Vec<usize>) -> Vec<u8> {
        let ends = starts.iter().copied().skip(1).chain([body.len()]);
        let mut elements: Vec<&[u8]> = starts.iter().zip(ends).map(|(from, to)| &body[*from..to]).collect();
        if elements.is_empty() {
            return body;
        }
        let at = usize::try_from(self.value).unwrap_or(usize::MAX) % elements.len();
        match self.how % 5 {
            0 => elements.clear(),
            1 => drop(elements.remove(at)),
            2 => elements.push(elements[at]),
            3 => elements.swap(at, 0),
            _ => elements.reverse(),
        }
        *starts = vec![0; elements.len()];
        elements.concat()
    }
}

/// Writes postcard (<https://postcard.jamesmunns.com/wire-format>), with changes.
struct Fields {
    out: Vec<u8>,
    places: usize,
    edits: Vec<Edit>,
    /// The bytes of a digest, key or signature are one place together.
    in_array: bool,
}

/// A type that the codec has no use for.
#[derive(Debug)]
struct Unsupported(String);

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

impl ser::Error for Unsupported {
    fn custom<T: fmt::Display>(what: T) -> Unsupported {
        Unsupported(what.to_string())
    }
}

type Written = Result<(), Unsupported>;

impl Fields {
    fn place(&mut self) -> Option<Edit> {
        let here = self.places;
        self.places += 1;
        self.edits.iter().find(|edit| edit.place == here).copied()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn number(&mut self, value: u64, max: u64) -> Written {
        let value = self.place().map_or(value, |edit| edit.number(value) & max);
        self.varint(value);
        Ok(())
    }

    fn variant(&mut self, index: u32) {
        let index = self.place().map_or(u64::from(index), |edit| edit.value % 10);
        self.varint(index);
    }

    fn string(&mut self, mut bytes: Vec<u8>) -> Written {
        if let Some(edit) = self.place() {
            edit.bytes(&mut bytes);
        }
        self.varint(bytes.len() as u64);
        self.out.append(&mut bytes);
        Ok(())
    }
}

impl<'a> ser::Serializer for &'a mut Fields {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Sequence<'a>;
    type SerializeTuple = Tuple<'a>;
    type SerializeTupleStruct = Tuple<'a>;
    type SerializeTupleVariant = Tuple<'a>;
    type SerializeMap = ser::Impossible<(), Unsupported>;
    type SerializeStruct = Tuple<'a>;
    type SerializeStructVariant = Tuple<'a>;

    fn is_human_readable(&self) -> bool {
        false
    }
    fn serialize_bool(self, value: bool) -> Written {
        let flip = self.place().is_some();
        self.out.push(u8::from(value ^ flip));
        Ok(())
    }
    fn serialize_u8(self, value: u8) -> Written {
        let edit = if self.in_array { None } else { self.place() };
        self.out.push(edit.map_or(value, |edit| edit.number(u64::from(value)) as u8));
        Ok(())
    }
    fn serialize_u16(self, value: u16) -> Written {
        self.number(u64::from(value), u64::from(u16::MAX))
    }
    fn serialize_u32(self, value: u32) -> Written {
        self.number(u64::from(value), u64::from(u32::MAX))
    }
    fn serialize_u64(self, value: u64) -> Written {
        self.number(value, u64::MAX)
    }
    fn serialize_i8(self, _: i8) -> Written {
        Err(ser::Error::custom("signed numbers do not occur"))
    }
    fn serialize_i16(self, _: i16) -> Written {
        Err(ser::Error::custom("signed numbers do not occur"))
    }
    fn serialize_i32(self, _: i32) -> Written {
        Err(ser::Error::custom("signed numbers do not occur"))
    }
    fn serialize_i64(self, _: i64) -> Written {
        Err(ser::Error::custom("signed numbers do not occur"))
    }
    fn serialize_f32(self, _: f32) -> Written {
        Err(ser::Error::custom("floats do not occur"))
    }
    fn serialize_f64(self, _: f64) -> Written {
        Err(ser::Error::custom("floats do not occur"))
    }
    fn serialize_char(self, _: char) -> Written {
        Err(ser::Error::custom("characters do not occur"))
    }
    fn serialize_str(self, value: &str) -> Written {
        self.string(value.as_bytes().to_vec())
    }
    fn serialize_bytes(self, value: &[u8]) -> Written {
        self.string(value.to_vec())
    }
    fn serialize_none(self) -> Written {
        self.out.push(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        if self.place().is_some() {
            return self.serialize_none();
        }
        self.out.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Written {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Written {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Written {
        self.variant(index);
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Written {
        self.variant(index);
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Sequence<'a>, Unsupported> {
        let edit = self.place();
        let before = std::mem::take(&mut self.out);
        Ok(Sequence { fields: self, before, starts: Vec::new(), edit })
    }
    fn serialize_tuple(self, len: usize) -> Result<Tuple<'a>, Unsupported> {
        // The arrays of this code have 32 bytes or more, its other tuples far fewer members.
        let edit = if len >= 32 { self.place() } else { None };
        let start = (len >= 32).then_some(self.out.len());
        self.in_array = start.is_some();
        Ok(Tuple { fields: self, start, edit })
    }
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Tuple<'a>, Unsupported> {
        self.serialize_tuple(len)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Tuple<'a>, Unsupported> {
        self.variant(index);
        self.serialize_tuple(len)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        Err(ser::Error::custom("maps do not occur"))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Tuple<'a>, Unsupported> {
        Ok(Tuple { fields: self, start: None, edit: None })
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        _: &'static str,
        len: usize,
    ) -> Result<Tuple<'a>, Unsupported> {
        self.variant(index);
        self.serialize_struct(name, len)
    }
}

/// A list: its length is known at its end.
struct Sequence<'a> {
    fields: &'a mut Fields,
    before: Vec<u8>,
    starts: Vec<usize>,
    edit: Option<Edit>,
}

impl ser::SerializeSeq for Sequence<'_> {
    type Ok = ();
    type Error = Unsupported;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        self.starts.push(self.fields.out.len());
        value.serialize(&mut *self.fields)
    }
    fn end(mut self) -> Written {
        let mut body = std::mem::replace(&mut self.fields.out, self.before);
        if let Some(edit) = self.edit {
            body = edit.list(body, &mut self.starts);
        }
        self.fields.varint(self.starts.len() as u64);
        self.fields.out.append(&mut body);
        Ok(())
    }
}

/// A tuple or struct, or an array of bytes that began at `start`.
struct Tuple<'a> {
    fields: &'a mut Fields,
    start: Option<usize>,
    edit: Option<Edit>,
}

impl Tuple<'_> {
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        value.serialize(&mut *self.fields)
    }
    fn finish(self) -> Written {
        if let Some(start) = self.start {
            self.fields.in_array = false;
            if let Some(edit) = self.edit {
                let array = &mut self.fields.out[start..];
                match edit.how % 3 {
                    0 => array.fill(edit.value as u8),
                    _ => array[edit.value as usize % array.len()] ^= 1 << (edit.value >> 32 & 7),
                }
            }
        }
        Ok(())
    }
}

macro_rules! tuple {
    ($($of:ident :: $member:ident),*) => {$(
        impl ser::$of for Tuple<'_> {
            type Ok = ();
            type Error = Unsupported;
            fn $member<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                self.member(value)
            }
            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

tuple!(SerializeTuple::serialize_element, SerializeTupleStruct::serialize_field);
tuple!(SerializeTupleVariant::serialize_field);

macro_rules! structure {
    ($($of:ident),*) => {$(
        impl ser::$of for Tuple<'_> {
            type Ok = ();
            type Error = Unsupported;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Written {
                self.member(value)
            }
            fn end(self) -> Written {
                self.finish()
            }
        }
    )*};
}

structure!(SerializeStruct, SerializeStructVariant);

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::codec;
    use bft_core::ledger::LedgerEntry;
    use crypto::Digest;

    fn entry() -> LedgerEntry {
        LedgerEntry {
            epoch: 1,
            height: 300,
            block: Digest([3; 32]),
            time: u64::MAX,
            receipts_root: Digest([4; 32]),
            state_root: Some(Digest([5; 32])),
            next_epoch: None,
            previous: Digest([6; 32]),
        }
    }

    #[test]
    fn without_edits_it_writes_what_the_codec_writes() {
        let value = (vec![Some((7_u8, entry())), None], "text".to_owned(), true, 70_000_u32, 300_u16);
        assert_eq!(forge(&mut Input::new(&[1]), &[&value]), (Some(0), codec::encode(&value)));
        assert_eq!(forge(&mut Input::new(&[0, 9, 8]), &[&value]), (None, vec![9, 8]));
    }

    #[test]
    fn every_field_can_be_changed_and_the_rest_stays() {
        let whole = codec::encode(&entry());
        let mut seen = std::collections::BTreeSet::new();
        for place in 0..8 {
            // One edit at this place, which adds one to a number or flips a bit of an array.
            let bytes = edited(&mut Input::new(&[1, place, 0, 1]), &entry());
            assert_ne!(bytes, whole, "place {place}");
            let read: LedgerEntry = codec::decode(&bytes, 1000).expect("well formed");
            assert!(seen.insert(format!("{read:?}")));
        }
    }

    #[test]
    fn lists_lose_double_and_reorder_their_elements() {
        let list = vec![1_u8, 2, 3];
        let edited = |how: u8| edited(&mut Input::new(&[1, 0, 0, how, 1]), &list);
        let expected: [&[u8]; 5] =
            [&[1, 0], &[1, 2, 1, 3], &[1, 4, 1, 2, 3, 2], &[1, 3, 2, 1, 3], &[1, 3, 3, 2, 1]];
        assert_eq!([0, 1, 2, 3, 4].map(edited), expected);
    }
}
