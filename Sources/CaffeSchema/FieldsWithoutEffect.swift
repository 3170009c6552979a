/// The fields that are read and change nothing here, by message: which kernel another program takes, its memory, its
/// threads, its precision, what it prints. They are reported once. Every other field of a layer's parameters is honoured
/// or refused by the layer; a test tries each.
package let fieldsWithoutEffect: [String: Set<String>] = [
  "NetParameter": [
    "richness", "default_backward_type", "default_forward_type", "default_backward_math", "default_forward_math",
    "global_grad_scale", "global_grad_scale_adaptive", "eltwise_mem_sharing", "engine",
  ],
  "LayerParameter": [
    "engine", "source_class", "backward_type", "forward_type", "backward_math", "forward_math", "visualise",
    "max_bottom_count",
  ],
  "ConvolutionParameter": [
    "engine", "force_nd_im2col", "conv_algorithm", "cudnn_convolution_algo_seeker", "cudnn_worspace_allow_on_groups",
    "mem_group_size",
  ],
  "AnnotatedDataParameter": ["label_map_file"],
  "BatchNormParameter": ["engine"],
  "BNParameter": ["engine"],
  "CTCLossParameter": ["loss_calculation_t"],
  "CombinedMarginParameter": ["transform_test"],
  "ConcatParameter": ["engine"],
  "CosinAddmParameter": ["transform_test"],
  "DataParameter": ["cache"],
  "DetectionOutputParameter": ["visualize_threshold"],
  "FocalLossParameter": ["engine"],
  "ImageDataParameter": ["cache", "precache", "show_data", "threads"],
  "LRNParameter": ["engine"],
  "LayerNormParameter": ["enable_cuda_impl"],
  "MemoryDataParameter": ["share_in_parallel", "source"],
  "PoolingParameter": ["engine"],
  "PythonParameter": ["share_in_parallel"],
  "ReLUParameter": ["engine"],
  "ReLU6Parameter": ["engine"],
  "RecurrentParameter": ["engine", "debug_info", "dropout_seed"],
  "SPPParameter": ["engine"],
  "SegAccuracyParameter": ["metric"],
  "SigmoidParameter": ["engine"],
  "SoftmaxParameter": ["engine"],
  "TanHParameter": ["engine"],
  "TransformationParameter": ["use_gpu_transform"],
  "WindowDataParameter": ["cache_images", "shuffle"],
  "YoloDetectionOutputParameter": ["side", "label_map_file"],
]
