"""Data sets in other programs' formats, converted to the four folders of a training.

    dataset = coco.read([coco.CocoReader(Path("instances.json"), Path("images"))], ClassSelection())
    written = write(random_split(dataset, share=0.2, seed=0), Path("mydata"))

``coco``, ``labelme``, ``voc``, ``cityscapes``, ``yolo``, ``labelstudio``, ``supervisely`` and ``folders`` each read one
format into an ``AnnotatedDataset``: images, and for each a function that draws its mask. ``annotations`` splits it,
``writing`` writes all or nothing.
"""
