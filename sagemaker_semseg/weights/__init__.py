"""Weights of other libraries, read as arrays under this package's names, and written back.

    mxnet, torchfile, hdf5   one kind of file each
    files                    files of any kind
    name_mapping             the names of GluonCV, timm, torchvision and Keras -> structural names
    detect_architecture      the network that an array's names and shapes mean
    sagemaker_artifact       the model.tar.gz of AWS's built-in algorithm
    model                    a model of another library as an artifact
    pretrained, hub          ImageNet weights: which there are, where they are searched, how they are downloaded

Everything here is numpy: no TensorFlow, no MXNet, and nothing is loaded that could run code.
"""
