"""Data sets in other programs' formats: their folders and annotation files come in, the four folders of a training go
out. ``cli.convert`` calls it, and whoever wants the same from Python.

    dataset = coco.read([coco.Source(Path("instances.json"), Path("photos"))], Choice())
    written = write(by_lot(dataset, share=0.2, seed=0), Path("mydata"))

``coco``, ``labelme``, ``voc``, ``cityscapes`` and ``yolo`` each read one format into a ``dataset.Dataset``: pictures,
and for each a function that draws its mask. ``shapes`` draws, ``splits`` says what is for validation, ``writing``
writes all of it or nothing.
"""
