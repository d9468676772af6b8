"""Pascal VOC and Cityscapes: masks that are images, their official splits, colors, faults and hostile files."""

import random

import numpy as np
import pytest

from sagemaker_semseg.convert import cityscapes, voc
from sagemaker_semseg.errors import DataError

MASK = np.zeros((24, 32), np.uint8)
MASK[2:6, 3:9], MASK[6, 3:9], MASK[10:, 20:] = 15, 255, 20


def voc_color(index):
    """By the rule of the development kit: the bits of the index in turn become high bits of red, green, blue."""
    color = [0, 0, 0]
    for bit in range(8):
        color[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    return color


PALETTE = bytes(value for index in range(256) for value in voc_color(index))
COLORS = np.array(list(PALETTE), np.uint8).reshape(256, 3)


@pytest.fixture
def voc_set(write_image, mask_file, file, tmp_path):
    for name in ("a", "b"):
        write_image(f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg")
        mask_file(f"VOCdevkit/VOC2012/SegmentationClass/{name}.png", MASK, PALETTE)
    for name, text in (("train", "a\n"), ("val", "b\n\n"), ("trainval", "a\nb\n")):
        file(f"VOCdevkit/VOC2012/ImageSets/Segmentation/{name}.txt", text)
    return tmp_path / "VOCdevkit" / "VOC2012"


def test_voc(voc_set, converted):
    dataset = voc.read(voc_set.parent)
    masks, _ = converted(dataset)
    assert (len(dataset.classes), dataset.classes[15], dataset.classes[20]) == (21, "person", "tvmonitor")
    assert masks.keys() == {"train/a", "validation/b"}
    np.testing.assert_array_equal(masks["train/a"], MASK)


def test_voc_in_colors(voc_set, mask_file, converted):
    mask_file("VOCdevkit/VOC2012/SegmentationClass/a.png", COLORS[MASK])
    np.testing.assert_array_equal(converted(voc.read(voc_set))[0]["train/a"], MASK)


@pytest.mark.parametrize("with_palette", [False, True])
def test_voc_with_a_labelmap(voc_set, mask_file, file, converted, with_palette):
    """Numbers in the palette mean nothing then: index 15 is drawn in the colour of cat."""
    file("VOCdevkit/VOC2012/labelmap.txt", "# label:color_rgb\ncat:10,20,30::\nbackground:0,0,0::\ndog:1,2,3::\n")
    colors = COLORS.copy()
    colors[15], colors[20] = (10, 20, 30), (1, 2, 3)
    for name in ("a", "b"):
        path = f"VOCdevkit/VOC2012/SegmentationClass/{name}.png"
        if with_palette:
            mask_file(path, MASK, colors.tobytes())
        else:
            mask_file(path, colors[MASK])
    dataset = voc.read(voc_set)
    expected = np.where(MASK == 15, 1, np.where(MASK == 20, 2, MASK))
    np.testing.assert_array_equal(converted(dataset)[0]["validation/b"], expected)
    assert dataset.classes == ("background", "cat", "dog")


def other_set(voc_set, mask_file, names=("class_names.txt",), text="_background_\ncar\n\nroad\n", values=(0, 1, 2)):
    """Turns VOC's folder into one of another program: own classes, no borders, and a list of their names."""
    mask = np.resize(np.array(values, np.uint8), (24, 32))
    for name in ("a", "b"):
        mask_file(f"VOCdevkit/VOC2012/SegmentationClass/{name}.png", mask, PALETTE)
    for name in names:
        (voc_set / name).write_text(text)
    return mask


@pytest.mark.parametrize("name", voc.NAME_FILES)
def test_names_of_the_numbers(voc_set, mask_file, converted, name):
    """LabelMe's export has VOC's palette, but not its classes; labels.txt begins with a name without a number."""
    text = "_background_\ncar\n\nroad\n"
    mask = other_set(voc_set, mask_file, [name], f"__ignore__\n{text}" if name == "labels.txt" else text)
    dataset = voc.read(voc_set)
    assert dataset.classes == ("background", "car", "road")
    np.testing.assert_array_equal(converted(dataset)[0]["train/a"], mask)


def test_names_of_the_numbers_as_an_argument(voc_set, mask_file, converted):
    mask = other_set(voc_set, mask_file, names=())
    dataset = voc.read(voc_set, ("background", "car", "road"))
    assert dataset.classes == ("background", "car", "road")
    np.testing.assert_array_equal(converted(dataset)[0]["train/a"], mask)
    assert voc.read(voc_set, ("voc",)).classes == voc.CLASSES


@pytest.mark.parametrize("with_border", [False, True])
def test_own_classes_are_not_taken_for_voc_s(voc_set, mask_file, with_border):
    """Neither with VOC's palette and without borders, nor with borders and another palette."""
    mask = other_set(voc_set, mask_file, (), values=(0, 1, 255) if with_border else (0, 1, 2))
    if with_border:
        for name in ("a", "b"):
            mask_file(f"VOCdevkit/VOC2012/SegmentationClass/{name}.png", mask, PALETTE[::-1])
    with pytest.raises(DataError, match="nothing says what the numbers in the masks are") as error:
        voc.read(voc_set)
    assert "--class-names" in error.value.faults[0].remedy


@pytest.mark.parametrize(
    ("text", "what"),
    [("car\n", "1 names"), ("car\ncar\n", "2 names"), ("", "0 names"), ("\n".join(map(str, range(300))), "300")],
)
def test_bad_names_of_the_numbers(voc_set, mask_file, text, what):
    other_set(voc_set, mask_file, text=text)
    with pytest.raises(DataError, match=what):
        voc.read(voc_set)


def test_a_number_without_a_name(voc_set, mask_file, converted):
    other_set(voc_set, mask_file, values=(0, 1, 2, 3))
    with pytest.raises(DataError, match=r"the numbers 3 stand for no class.*class_names.txt names the numbers 0 to 2"):
        converted(voc.read(voc_set))


def test_labelme_s_older_folders(voc_set, mask_file, converted, write_image):
    """Masks lie in SegmentationClassPNG, and SegmentationClass holds arrays of numpy, which aren't read."""
    mask = other_set(voc_set, mask_file)
    (voc_set / "SegmentationClass").rename(voc_set / "SegmentationClassPNG")
    (voc_set / "SegmentationClass").mkdir()
    (voc_set / "SegmentationClass" / "a.npy").write_bytes(b"no array")
    dataset = voc.read(voc_set)
    np.testing.assert_array_equal(converted(dataset)[0]["validation/b"], mask)


def test_images_without_a_mask(voc_set, write_image, file, converted):
    """CVAT lists images without objects, but writes no mask for them."""
    file("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "a\nempty\n")
    write_image("VOCdevkit/VOC2012/JPEGImages/empty.jpg")
    with pytest.raises(
        DataError, match=r"empty.jpg: there is no SegmentationClass/empty.png .*--unannotated background"
    ):
        converted(voc.read(voc_set))
    skipped = voc.read(voc_set, unannotated="skip")
    assert [item.name for item in skipped.items] == ["a", "b"]
    assert "1 images without annotations are left out" in skipped.notes[-1]
    masks, written = converted(voc.read(voc_set, unannotated="background"))
    assert not masks["train/empty"].any()
    assert "1 images without annotations, read as" in written.notes[0]


def test_voc_without_lists_is_divided_by_lot(voc_set, converted):
    for path in (voc_set / "ImageSets/Segmentation").iterdir():
        path.unlink()
    assert converted(voc.read(voc_set))[0].keys() == {"a", "b"}
    (voc_set / "SegmentationClass/b.png").unlink()
    (fault,) = voc.read(voc_set).faults.kinds["image without annotations"]
    assert fault.what == "there is no SegmentationClass/b.png"


def test_voc_s_faults_together(voc_set, mask_file, write_image, converted, file):
    file("VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt", "a\nnone\n../../x\nc\nd\ne\nb\n")
    for name in "cde":
        write_image(f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg")
    mask_file("VOCdevkit/VOC2012/SegmentationClass/d.png", np.full((24, 32), 77, np.uint8))
    smooth = COLORS[MASK].copy()
    smooth[0, :3] = 9
    mask_file("VOCdevkit/VOC2012/SegmentationClass/e.png", smooth)
    with pytest.raises(DataError) as error:
        converted(voc.read(voc_set))
    message = "\n".join(map(str, error.value.faults))
    for part in (
        *("train.txt, line 2: there is no JPEGImages/none", "line 3: there is no JPEGImages/../../x"),
        *("there is no SegmentationClass/c", "the numbers 77", "3 pixels of colours", "(9, 9, 9)"),
        "val.txt, line 1: b is also in",
    ):
        assert part in message
    assert len(error.value.faults) == 6


def test_a_voc_mask_of_another_size(voc_set, mask_file, converted):
    mask_file("VOCdevkit/VOC2012/SegmentationClass/a.png", MASK[:20])
    with pytest.raises(DataError, match="its annotations are for 32 x 20"):
        converted(voc.read(voc_set))


def test_hostile_labelmaps(voc_set, file):
    draw_from = random.Random(2)
    good, seen = "background:0,0,0::\ncat:10,20,30::\n", set()
    for _ in range(400):
        letters = list(good)
        for _ in range(draw_from.randrange(1, 5)):
            letters[draw_from.randrange(len(letters))] = draw_from.choice(":,#\n-9 ٣²\0é")
        file("VOCdevkit/VOC2012/labelmap.txt", "".join(letters))
        try:
            voc.read(voc_set)
            seen.add("read")
        except DataError as error:
            str(error).encode()
            seen.add("refused")
    assert seen == {"read", "refused"}


# id, label by the benchmark's table
IDS = [(0, 255), (7, 0), (8, 1), (11, 2), (18, 255), (26, 13), (29, 255), (33, 18)]


@pytest.fixture
def city(write_image, tmp_path):
    def put(split, name="aachen_000000_000019"):
        write_image(f"city/leftImg8bit/{split}/aachen/{name}_leftImg8bit.png", kind="PNG")
        return f"city/gtFine/{split}/aachen/{name}_gtFine"

    return put


def test_cityscapes_ids(city, mask_file, converted, tmp_path):
    mask, expected = np.zeros((2, 24, 32), np.uint8)
    for column, (id, label) in enumerate(IDS):
        mask[:, column], expected[:, column] = id, label
    expected[:, len(IDS) :] = 255
    mask_file(city("train") + "_labelIds.png", mask)
    mask_file(city("val") + "_labelTrainIds.png", expected)
    dataset = cityscapes.read(tmp_path / "city")
    masks, _ = converted(dataset)
    assert (len(dataset.classes), dataset.classes[13]) == (19, "car")
    assert masks.keys() == {"train/aachen/aachen_000000_000019", "validation/aachen/aachen_000000_000019"}
    for found in masks.values():
        np.testing.assert_array_equal(found, expected)


def objects(*entries):
    listed = [{"label": label, "polygon": polygon} for label, polygon in entries]
    return {"imgHeight": 24, "imgWidth": 32, "objects": listed}


def test_cityscapes_polygons(city, file, tmp_path):
    square = [[4, 4], [12, 4], [12, 12], [4, 12]]  # corners are pixels and belong to it, as in Cityscapes' own masks
    small = [[6, 6], [8, 6], [8, 8], [6, 8]]
    corner = [[0, 20], [3, 20], [3, 23], [0, 23]]
    file(city("train") + "_polygons.json", objects(("cargroup", square), ("license plate", small), ("tunnel", corner)))
    (item,) = cityscapes.read(tmp_path / "city").items
    expected = np.full((24, 32), 255, np.uint8)
    expected[4:13, 4:13] = 13
    np.testing.assert_array_equal(item.draw(24, 32), expected)


def test_cityscapes_faults_together(city, file, mask_file, converted, tmp_path):
    mask_file(city("train", "a") + "_labelIds.png", np.full((24, 32), 200, np.uint8))
    city("train", "b")
    polygon = [[1, 1], [5, 1], [5, 5]]
    far, endless = [[1, 1], [5, 1], [900, 5]], [[1, 1], [5, 1], [float("nan"), 5]]
    faulty = objects(("unicorn", polygon), ("car", far), ("car", endless), (5, polygon), ("car", "x"))
    file(city("val", "c") + "_polygons.json", faulty)
    file(city("val", "d") + "_polygons.json", {**objects(), "imgWidth": 10**9})
    with pytest.raises(DataError) as error:
        converted(cityscapes.read(tmp_path / "city"))
    message = "\n".join(map(str, error.value.faults))
    parts = ["the numbers 200", "b_gtFine_labelIds.png", *(f"objects[{n}]" for n in range(5)), "d_gtFine_polygons"]
    assert [part for part in parts if part not in message] == []
    assert len(error.value.faults) == len(parts)


@pytest.mark.parametrize("read", [voc.read, cityscapes.read])
def test_folders_of_something_else(tmp_path, read):
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert error.value.faults[0].remedy
