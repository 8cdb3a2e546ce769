/* The part of the CUDA driver API that the shim hooks, in its own words: none of NVIDIA's headers is needed to build it.
   Shapes as published in the CUDA Driver API reference (docs.nvidia.com/cuda/cuda-driver-api), checked by size below; the ABI of a
   name with its suffix never changes. 64-bit Linux only. */
#ifndef SPARK_SHIM_CUDA_ABI_H
#define SPARK_SHIM_CUDA_ABI_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef uint32_t CUdeviceptr_v1; /* before CUDA 3.2 device addresses and sizes had 32 bits */
typedef uint64_t CUmemGenericAllocationHandle;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef struct CUarray_st *CUarray;
typedef struct CUmipmappedArray_st *CUmipmappedArray;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;
typedef struct CUmemAllocationProp_st CUmemAllocationProp; /* passed on, never read */
typedef int CUdriverProcAddressQueryResult;

enum {
  SPARK_CUDA_SUCCESS = 0,
  SPARK_CUDA_ERROR_INVALID_VALUE = 1,
  SPARK_CUDA_ERROR_OUT_OF_MEMORY = 2,
  SPARK_CUDA_ERROR_NOT_FOUND = 500
};

/* CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM */
enum { SPARK_CUDA_PER_THREAD_STREAM = 1 << 1 };

_Static_assert (sizeof (CUdeviceptr) == 8 && sizeof (CUmemGenericAllocationHandle) == 8 && sizeof (size_t) == 8,
                "64-bit CUDA driver API");

typedef struct {
  size_t Width, Height;
  int Format;
  unsigned NumChannels;
} CUDA_ARRAY_DESCRIPTOR;

typedef struct {
  uint32_t Width, Height;
  int Format;
  unsigned NumChannels;
} CUDA_ARRAY_DESCRIPTOR_v1;

typedef struct {
  size_t Width, Height, Depth;
  int Format;
  unsigned NumChannels, Flags;
} CUDA_ARRAY3D_DESCRIPTOR;

typedef struct {
  uint32_t Width, Height, Depth;
  int Format;
  unsigned NumChannels, Flags;
} CUDA_ARRAY3D_DESCRIPTOR_v1;

typedef struct {
  unsigned char pool_properties[88]; /* CUmemPoolProps */
  const void *accessDescs;
  size_t accessDescCount;
  size_t bytesize;
  CUdeviceptr dptr;
} CUDA_MEM_ALLOC_NODE_PARAMS;

typedef struct {
  int type;
  int reserved0[3];
  union {
    CUDA_MEM_ALLOC_NODE_PARAMS alloc;
    long long reserved1[29];
  };
  long long reserved2;
} CUgraphNodeParams;

/* As far as it is read: which array, which part of it, what is to be done, and with what memory. */
typedef struct {
  int resourceType;
  uint64_t resource; /* a CUarray or CUmipmappedArray */
  int subresourceType;
  int padding; /* one kind of subresource holds 64-bit numbers */
  unsigned subresource[8];
  int memOperationType;
  int memHandleType;
  CUmemGenericAllocationHandle memHandle;
  unsigned long long offset;
  unsigned unread[4];
} CUarrayMapInfo;

_Static_assert (sizeof (CUarrayMapInfo) == 96 && offsetof (CUarrayMapInfo, memOperationType) == 56, "a mapping into an array");
_Static_assert (sizeof (CUDA_ARRAY_DESCRIPTOR) == 24 && sizeof (CUDA_ARRAY_DESCRIPTOR_v1) == 16, "array descriptors");
_Static_assert (sizeof (CUDA_ARRAY3D_DESCRIPTOR) == 40 && sizeof (CUDA_ARRAY3D_DESCRIPTOR_v1) == 24, "array descriptors");
_Static_assert (sizeof (CUDA_MEM_ALLOC_NODE_PARAMS) == 120 && sizeof (CUgraphNodeParams) == 256, "graph node parameters");

#define SPARK_EXPORT __attribute__ ((visibility ("default")))

SPARK_EXPORT CUresult cuMemGetInfo (uint32_t *free_bytes, uint32_t *total_bytes);
SPARK_EXPORT CUresult cuMemGetInfo_v2 (size_t *free_bytes, size_t *total_bytes);
SPARK_EXPORT CUresult cuDeviceTotalMem (uint32_t *bytes, CUdevice device);
SPARK_EXPORT CUresult cuDeviceTotalMem_v2 (size_t *bytes, CUdevice device);

SPARK_EXPORT CUresult cuMemAlloc (CUdeviceptr_v1 *pointer, uint32_t bytes);
SPARK_EXPORT CUresult cuMemAlloc_v2 (CUdeviceptr *pointer, size_t bytes);
SPARK_EXPORT CUresult cuMemAllocPitch (CUdeviceptr_v1 *pointer, uint32_t *pitch, uint32_t width, uint32_t height,
                                       uint32_t element_bytes);
SPARK_EXPORT CUresult cuMemAllocPitch_v2 (CUdeviceptr *pointer, size_t *pitch, size_t width, size_t height,
                                          unsigned element_bytes);
SPARK_EXPORT CUresult cuMemAllocManaged (CUdeviceptr *pointer, size_t bytes, unsigned flags);
SPARK_EXPORT CUresult cuMemFree (CUdeviceptr_v1 pointer);
SPARK_EXPORT CUresult cuMemFree_v2 (CUdeviceptr pointer);

SPARK_EXPORT CUresult cuMemAllocAsync (CUdeviceptr *pointer, size_t bytes, CUstream stream);
SPARK_EXPORT CUresult cuMemAllocAsync_ptsz (CUdeviceptr *pointer, size_t bytes, CUstream stream);
SPARK_EXPORT CUresult cuMemAllocFromPoolAsync (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream);
SPARK_EXPORT CUresult cuMemAllocFromPoolAsync_ptsz (CUdeviceptr *pointer, size_t bytes, CUmemoryPool pool, CUstream stream);
SPARK_EXPORT CUresult cuMemFreeAsync (CUdeviceptr pointer, CUstream stream);
SPARK_EXPORT CUresult cuMemFreeAsync_ptsz (CUdeviceptr pointer, CUstream stream);

SPARK_EXPORT CUresult cuMemCreate (CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                                   unsigned long long flags);
SPARK_EXPORT CUresult cuMemRelease (CUmemGenericAllocationHandle handle);
SPARK_EXPORT CUresult cuMemMap (CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                                unsigned long long flags);
SPARK_EXPORT CUresult cuMemUnmap (CUdeviceptr pointer, size_t bytes);
SPARK_EXPORT CUresult cuMemRetainAllocationHandle (CUmemGenericAllocationHandle *handle, void *address);

SPARK_EXPORT CUresult cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *handle, void *os_handle, int type);

SPARK_EXPORT CUresult cuMemAllocHost (void **pointer, uint32_t bytes);
SPARK_EXPORT CUresult cuMemAllocHost_v2 (void **pointer, size_t bytes);
SPARK_EXPORT CUresult cuMemHostAlloc (void **pointer, size_t bytes, unsigned flags);
SPARK_EXPORT CUresult cuMemFreeHost (void *pointer);
SPARK_EXPORT CUresult cuMemHostRegister (void *pointer, size_t bytes, unsigned flags);
SPARK_EXPORT CUresult cuMemHostRegister_v2 (void *pointer, size_t bytes, unsigned flags);
SPARK_EXPORT CUresult cuMemHostUnregister (void *pointer);

SPARK_EXPORT CUresult cuMemPoolTrimTo (CUmemoryPool pool, size_t keep_bytes);
SPARK_EXPORT CUresult cuMemPoolDestroy (CUmemoryPool pool);

SPARK_EXPORT CUresult cuArrayCreate (CUarray *array, const CUDA_ARRAY_DESCRIPTOR_v1 *shape);
SPARK_EXPORT CUresult cuArrayCreate_v2 (CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape);
SPARK_EXPORT CUresult cuArray3DCreate (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR_v1 *shape);
SPARK_EXPORT CUresult cuArray3DCreate_v2 (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape);
SPARK_EXPORT CUresult cuArrayDestroy (CUarray array);
SPARK_EXPORT CUresult cuMipmappedArrayCreate (CUmipmappedArray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape,
                                              unsigned levels);
SPARK_EXPORT CUresult cuMipmappedArrayDestroy (CUmipmappedArray array);

SPARK_EXPORT CUresult cuGraphAddMemAllocNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                              size_t count, CUDA_MEM_ALLOC_NODE_PARAMS *parameters);
SPARK_EXPORT CUresult cuGraphAddNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count,
                                      CUgraphNodeParams *parameters);
SPARK_EXPORT CUresult cuGraphAddNode_v2 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                         const void *edges, size_t count, CUgraphNodeParams *parameters);
SPARK_EXPORT CUresult cuMemMapArrayAsync (CUarrayMapInfo *list, unsigned count, CUstream stream);
SPARK_EXPORT CUresult cuMemMapArrayAsync_ptsz (CUarrayMapInfo *list, unsigned count, CUstream stream);
SPARK_EXPORT CUresult cuGraphLaunch (CUgraphExec graph, CUstream stream);
SPARK_EXPORT CUresult cuGraphLaunch_ptsz (CUgraphExec graph, CUstream stream);
SPARK_EXPORT CUresult cuGraphUpload (CUgraphExec graph, CUstream stream);
SPARK_EXPORT CUresult cuGraphUpload_ptsz (CUgraphExec graph, CUstream stream);
SPARK_EXPORT CUresult cuDeviceGraphMemTrim (CUdevice device);

SPARK_EXPORT CUresult cuCtxDestroy (CUcontext context);
SPARK_EXPORT CUresult cuCtxDestroy_v2 (CUcontext context);
SPARK_EXPORT CUresult cuDevicePrimaryCtxRelease (CUdevice device);
SPARK_EXPORT CUresult cuDevicePrimaryCtxRelease_v2 (CUdevice device);
SPARK_EXPORT CUresult cuDevicePrimaryCtxReset (CUdevice device);
SPARK_EXPORT CUresult cuDevicePrimaryCtxReset_v2 (CUdevice device);

SPARK_EXPORT CUresult cuCtxSetLimit (int limit, size_t value);

/* Called, not hooked: the shim asks the driver. */
CUresult cuCtxGetDevice (CUdevice *device);
CUresult cuCtxGetLimit (size_t *value, int limit);
CUresult cuDeviceGetAttribute (int *value, int attribute, CUdevice device);
CUresult cuCtxGetCurrent (CUcontext *context);
CUresult cuCtxGetDevice (CUdevice *device);
CUresult cuDeviceGetCount (int *count);
CUresult cuDeviceGetGraphMemAttribute (CUdevice device, int attribute, void *value);
CUresult cuDeviceGetMemPool (CUmemoryPool *pool, CUdevice device);
CUresult cuMemPoolGetAttribute (CUmemoryPool pool, int attribute, void *value);
CUresult cuStreamIsCapturing (CUstream stream, int *status);
CUresult cuThreadExchangeStreamCaptureMode (int *mode);
CUresult cuDevicePrimaryCtxGetState (CUdevice device, unsigned *flags, int *active);
CUresult cuDevicePrimaryCtxRetain (CUcontext *context, CUdevice device);

SPARK_EXPORT CUresult cuGetProcAddress (const char *symbol, void **function, int cuda_version, uint64_t flags);
SPARK_EXPORT CUresult cuGetProcAddress_v2 (const char *symbol, void **function, int cuda_version, uint64_t flags,
                                           CUdriverProcAddressQueryResult *status);

#endif
