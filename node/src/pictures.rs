//! What a picture tells beside what it shows: where and when it was taken, with which telephone. Before a picture is
//! kept, all of that goes; how it must be turned, and its colours, stay.

use img_parts::jpeg::{Jpeg, markers};
use img_parts::png::Png;
use img_parts::webp::WebP;
use img_parts::{Bytes, ImageEXIF as _};

/// What kind of file it is, by its first bytes; never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A JPEG picture.
    Jpeg,
    /// A PNG picture.
    Png,
    /// A WebP picture.
    WebP,
    /// A picture of a kind whose places and times cannot be taken out here: HEIC, AVIF, TIFF and raw pictures.
    Heic,
    /// A PDF document.
    Pdf,
    /// Anything else.
    Other,
}

impl Kind {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let is_box = |brands: &[&[u8]]| {
            bytes.get(4..8) == Some(b"ftyp") && brands.iter().any(|brand| bytes.get(8..12) == Some(*brand))
        };
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', ..] => Self::Png,
            [b'R', b'I', b'F', b'F', ..] if bytes.get(8..12) == Some(b"WEBP") => Self::WebP,
            [b'%', b'P', b'D', b'F', ..] => Self::Pdf,
            [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Self::Heic,
            _ if is_box(&[
                b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"heif", b"mif1", b"msf1", b"avif", b"avis",
            ]) =>
            {
                Self::Heic
            }
            _ => Self::Other,
        }
    }

    /// Its media type (RFC 6838).
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Heic => "image/heic",
            Self::Pdf => "application/pdf",
            Self::Other => "application/octet-stream",
        }
    }
}

/// Why a picture cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is damaged, so that what it tells cannot be taken out.
    #[error("the picture is damaged")]
    Damaged,
    /// It is of a kind that cannot be cleaned.
    #[error("a picture of this kind tells where it was taken; save it as JPEG first")]
    Uncleanable,
}

/// Chunks of a PNG that say how it looks.
const PNG_LOOKS: &[&[u8; 4]] =
    &[b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs"];
/// Chunks of a WebP that say how it looks.
const WEBP_LOOKS: &[&[u8; 4]] = &[b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];

/// The file as it may be kept.
///
/// # Errors
/// When it is a picture that cannot be cleaned.
pub fn clean(bytes: Vec<u8>) -> Result<Vec<u8>, PictureError> {
    let damaged = |_| PictureError::Damaged;
    match Kind::of(&bytes) {
        Kind::Jpeg => {
            let turned = orientation(&bytes);
            let mut picture = Jpeg::from_bytes(Bytes::from(bytes)).map_err(damaged)?;
            picture.segments_mut().retain(|segment| match segment.marker() {
                markers::APP2 => segment.contents().starts_with(b"ICC_PROFILE\0"),
                markers::APP0 | markers::APP14 => true,
                markers::APP1..=markers::APP15 | markers::COM => false,
                _ => true,
            });
            if let Some(turned) = turned.filter(|turned| *turned != 1) {
                picture.set_exif(Some(turned_only(turned)));
            }
            scans_only(&picture.encoder().bytes()).ok_or(PictureError::Damaged)
        }
        Kind::Png => {
            let mut picture = Png::from_bytes(Bytes::from(bytes)).map_err(damaged)?;
            picture.chunks_mut().retain(|chunk| PNG_LOOKS.iter().any(|looks| **looks == chunk.kind()));
            Ok(picture.encoder().bytes().to_vec())
        }
        Kind::WebP => {
            let mut picture = WebP::from_bytes(Bytes::from(bytes)).map_err(damaged)?;
            picture.set_exif(None);
            picture.chunks_mut().retain(|chunk| WEBP_LOOKS.iter().any(|looks| **looks == chunk.id()));
            Ok(picture.encoder().bytes().to_vec())
        }
        Kind::Heic => Err(PictureError::Uncleanable),
        Kind::Pdf | Kind::Other => Ok(bytes),
    }
}

/// A JPEG without what stands between and behind its scans: comments, and second pictures or films that telephones hang
/// on behind the end (ITU T.81, B.1.1: in a scan, `FF 00` and the restart marks are data).
fn scans_only(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend(bytes.get(..2)?);
    let mut at = 2;
    loop {
        let marker = match bytes.get(at..at + 2)? {
            [0xff, 0xff] => {
                at += 1;
                continue;
            }
            [0xff, marker] => *marker,
            _ => return None,
        };
        if marker == markers::EOI {
            out.extend([0xff, markers::EOI]);
            return Some(out);
        }
        let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
        let segment = bytes.get(at..at + 2 + length)?;
        let tells = out.windows(2).any(|two| two == [0xff, markers::SOS])
            && matches!(marker, markers::APP0..=markers::APP15 | markers::COM);
        if !tells {
            out.extend(segment);
        }
        at += segment.len();
        if marker == markers::SOS {
            let rest = bytes.get(at..)?;
            let data = rest
                .windows(2)
                .position(|two| matches!(two, [0xff, other] if *other != 0 && !(0xd0..=0xd7).contains(other)))?;
            out.extend(rest.get(..data)?);
            at += data;
        }
    }
}

/// How a picture must be turned to stand upright (EXIF 2.3, tag 0x0112), if it says so.
fn orientation(bytes: &[u8]) -> Option<u8> {
    let exif = exif::Reader::new().read_from_container(&mut std::io::Cursor::new(bytes)).ok()?;
    let field = exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?;
    u8::try_from(field.value.get_uint(0)?).ok().filter(|turned| (1..=8).contains(turned))
}

/// An EXIF block that says how to turn the picture, and nothing else: a little-endian TIFF with one entry.
fn turned_only(turned: u8) -> Bytes {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([turned, 0, 0, 0, 0, 0, 0, 0]);
    Bytes::from(tiff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use img_parts::jpeg::JpegSegment;

    /// The least JPEG: one grey pixel, and the segments given.
    fn jpeg(segments: Vec<(u8, &[u8])>) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        for (marker, contents) in segments {
            bytes.extend([0xff, marker]);
            bytes.extend(u16::try_from(contents.len() + 2).unwrap().to_be_bytes());
            bytes.extend(contents);
        }
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0x3f, 0, 0x2a, 0xff, 0xd9]);
        bytes
    }

    fn exif_with(turned: u8, place: &[u8]) -> Vec<u8> {
        let mut contents = b"Exif\0\0".to_vec();
        contents.extend(turned_only(turned));
        contents.extend(place);
        contents
    }

    #[test]
    fn places_times_and_comments_go_and_the_turn_stays() {
        let exif = exif_with(6, b"GPS 29.85 S 31.02 E");
        let picture = jpeg(vec![
            (markers::APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            (markers::APP1, &exif),
            (markers::APP1, b"http://ns.adobe.com/xap/1.0/\0GPS 29.85 S"),
            (markers::APP2, b"MPF\0a second picture of GPS"),
            (markers::COM, b"GPS in a comment"),
        ]);
        let end = picture.len() - 2;
        let scan: &[u8] = &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 0x3f, 0, 0x2b, 0xff, 0, 0x2c, 0xff, 0xd0, 0x2d];
        let behind = [&picture[..end], &[0xff, 0xfe, 0, 5], b"GPS", scan, &[0xff, 0xd9], b"a film with GPS"].concat();
        let cleaned = clean(behind).unwrap();
        assert!(cleaned.ends_with(&[scan, &[0xff, 0xd9]].concat()));
        assert!(!cleaned.windows(3).any(|three| three == b"GPS"));
        assert_eq!(orientation(&cleaned), Some(6));
        let parts = Jpeg::from_bytes(Bytes::from(cleaned)).unwrap();
        assert!(parts.segments().iter().map(JpegSegment::marker).any(|marker| marker == markers::APP0));
        assert!(parts.segment_by_marker(markers::SOS).unwrap().has_entropy());
    }

    #[test]
    fn a_png_keeps_what_it_shows() {
        let chunk = |kind: &[u8; 4], contents: &[u8]| {
            let mut bytes = u32::try_from(contents.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend(kind);
            bytes.extend(contents);
            let crc = crc32fast::hash(&bytes[4..]);
            bytes.extend(crc.to_be_bytes());
            bytes
        };
        let parts = [chunk(b"IHDR", &[0; 13]), chunk(b"tEXt", b"GPS"), chunk(b"IDAT", b"x"), chunk(b"IEND", b"")];
        let picture = [b"\x89PNG\r\n\x1a\n".to_vec(), parts.concat()].concat();
        let cleaned = clean(picture).unwrap();
        assert!(!cleaned.windows(3).any(|three| three == b"GPS"));
        assert!(cleaned.windows(4).any(|four| four == b"IDAT"));
    }

    #[test]
    fn what_cannot_be_cleaned_is_refused_and_other_files_stay_as_they_are() {
        assert_eq!(clean(b"\0\0\0\x18ftypheic....".to_vec()), Err(PictureError::Uncleanable));
        assert_eq!(clean(vec![0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff, 0]), Err(PictureError::Damaged));
        for other in [b"%PDF-1.7 ...".to_vec(), b"plain".to_vec(), Vec::new()] {
            assert_eq!(clean(other.clone()), Ok(other));
        }
    }
}
