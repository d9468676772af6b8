"""Networks: FCN, PSP and DeepLabV3 on dilated ResNets (Keras 3, any backend)."""
