"""Pascal VOC and Cityscapes: masks that are images, their official splits, colors, faults and hostile files."""

import random

import numpy as np
import pytest

from sagemaker_semseg.convert import cityscapes, voc
from sagemaker_semseg.convert.class_list import find_class_list, read_class_list
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


@pytest.mark.parametrize("name", ["class_names.txt", "labelmap.txt", "labels.txt", "classes.txt"])
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
    [("car\n", "1 classes"), ("car\ncar\n", "two lines"), ("", "0 classes"), ("\n".join(map(str, range(300))), "300")],
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


OWN = "0 0 0 background\n48 112 32 car\n176 112 32 road\n"
OWN_COLORS = np.array([(0, 0, 0), (48, 112, 32), (176, 112, 32)], np.uint8)
OWN_MASK = np.resize(np.arange(3, dtype=np.uint8), (24, 32))


@pytest.fixture
def own_city(write_image, mask_file, file, tmp_path):
    """Writes classes of one's own in Cityscapes' folders, as CVAT exports them; returns the folder."""

    def put(ids=OWN_MASK, colors=OWN_COLORS[OWN_MASK], listed=OWN, splits=("Train", "Validation")):
        for split in splits:
            write_image(f"own/imgsFine/leftImg8bit/{split}/a_leftImg8bit.png", kind="PNG")
            if ids is not None:
                mask_file(f"own/gtFine/{split}/a_gtFine_labelIds.png", ids)
            if colors is not None:
                mask_file(f"own/gtFine/{split}/a_gtFine_color.png", colors)
        if listed:
            file("own/label_colors.txt", listed)
        return tmp_path / "own"

    return put


@pytest.mark.parametrize("change", [{}, {"ids": None}, {"colors": None}, {"ids": OWN_MASK + 7}])
def test_classes_of_one_s_own_in_cityscapes_folders(own_city, converted, change):
    """Colors count where there are masks of colors, else the ids, which are the lines of the list."""
    dataset = cityscapes.read(own_city(**change))
    assert dataset.classes == ("background", "car", "road")
    assert "not Cityscapes'" in dataset.notes[0]
    masks, _ = converted(dataset)
    assert masks.keys() == {"train/a", "validation/a"}
    np.testing.assert_array_equal(masks["validation/a"], OWN_MASK)


def test_an_id_beyond_the_list(own_city, converted):
    with pytest.raises(
        DataError, match=r"the numbers 3 stand for no class .*label_colors.txt names the numbers 0 to 2"
    ):
        converted(cityscapes.read(own_city(OWN_MASK + 1, None)))


def test_polygons_of_one_s_own_classes(own_city, file, tmp_path):
    folder = own_city(None, None, splits=["train"])
    square = [[4, 4], [12, 4], [12, 12], [4, 12]]
    file("own/gtFine/train/a_gtFine_polygons.json", objects(("road", square)))
    (item,) = cityscapes.read(folder).items
    expected = np.zeros((24, 32), np.uint8)
    expected[4:13, 4:13] = 2
    np.testing.assert_array_equal(item.draw(24, 32), expected)
    file("own/gtFine/train/a_gtFine_polygons.json", objects(("sky", square)))
    with pytest.raises(DataError, match=r"label \"sky\" isn't in .*label_colors.txt"):
        cityscapes.read(folder).items[0].draw(24, 32)


def test_own_classes_without_a_list_are_not_cityscapes(own_city):
    """7 is Cityscapes' road, but its color there is another."""
    with pytest.raises(DataError, match="ids and colours of 2 of 2 masks don't belong together") as error:
        cityscapes.read(own_city(OWN_MASK + 7, listed=None))
    assert "label_colors.txt" in error.value.faults[0].remedy


def test_cityscapes_own_list_changes_nothing(city, mask_file, file, converted, tmp_path):
    """CVAT writes it, too: ids in the order of the lines, several of them in black."""
    names = {
        id: name
        for name, id in zip(cityscapes.CLASSES, (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33), strict=True)
    }
    file("city/label_colors.txt", "".join(f"{id // 5} 0 0 {names.get(id, f'other{id}')}\n" for id in range(34)))
    for split in ("train", "val"):
        mask_file(city(split) + "_labelIds.png", np.full((24, 32), 26, np.uint8))
    dataset = cityscapes.read(tmp_path / "city")
    assert dataset.classes == cityscapes.CLASSES
    assert (converted(dataset)[0]["train/aachen/aachen_000000_000019"] == 13).all()


def test_no_set_in_which_every_pixel_is_ignored(city, mask_file, converted, tmp_path):
    for split, id in (("train", 7), ("val", 0)):
        mask_file(city(split) + "_labelIds.png", np.full((24, 32), id, np.uint8))
    with pytest.raises(DataError, match="every pixel of every mask of validation would be ignored"):
        converted(cityscapes.read(tmp_path / "city"))
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labelmap.txt", "# label:color\ncar:1,2,3::\nbackground:0,0,0:a,b:c\n"),
        ("label_colors.txt", "0 0 0 background\n1 2 3 car\n"),
        ("label_colors.txt", "0 0 0\t\tbackground\n1 2 3\t\tcar\n"),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ncar,1,2,3\n"),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, car\n"),
        ("labels.txt", "__ignore__\n_background_\ncar\n"),
        ("classes.txt", "background\r\ncar\r\n"),
        ("obj_class_to_machine_color.json", '{"car": [1, 1, 1]}'),
    ],
)
def test_forms_of_lists(file, tmp_path, name, text):
    file(name, text)
    found = find_class_list([tmp_path])
    assert found.names == ("background", "car")
    assert found.by_number is None or [found.by_number[0], found.by_number[1]] == [0, 1]
    color = (1, 1, 1) if name.endswith("json") else (1, 2, 3)
    assert (found.by_color or {color: 1}).get(color, 1) == 1
    assert (found.by_number is None) == (name == "labelmap.txt")


@pytest.mark.parametrize(
    "text", ["[]", '{"a": 1}', '{"a": [1, 1, 2]}', '{"a": [0, 0, 0]}', '{"a": [1, 1, 1], "b": [1, 1, 1]}']
)
def test_bad_numbers_of_supervisely(file, tmp_path, text):
    file("obj_class_to_machine_color.json", text)
    with pytest.raises(DataError, match="obj_class_to_machine_color"):
        find_class_list([tmp_path])


def test_hostile_lists(file, tmp_path):
    draw_from = random.Random(5)
    good = ("0 0 0 background\n1 2 3 car\n", "Pixel Value, Class\n0, background\n1, car\n", "background\ncar\n")
    seen = set()
    with pytest.raises(DataError):
        read_class_list(file("list.txt", f"a{' ' * 1_000_000}b\na,{' ' * 1_000_000},b"))
    for number in range(600):
        letters = list(good[number % 3])
        for _ in range(draw_from.randrange(1, 5)):
            letters[draw_from.randrange(len(letters))] = draw_from.choice(":,#\n-9 ٣²\0é\t")
        try:
            found = read_class_list(file("list.txt", "".join(letters)))
            assert max((found.by_number or found.by_color).values()) == 255
            seen.add("read")
        except DataError as error:
            str(error).encode()
            seen.add("refused")
    assert seen == {"read", "refused"}


@pytest.mark.parametrize("read", [voc.read, cityscapes.read])
def test_folders_of_something_else(tmp_path, read):
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert error.value.faults[0].remedy
