/* Prototypes of the driver functions that the simulator implements; exports.def lists them with their versions. */
#ifndef SPARK_SIM_CUDA_API_H
#define SPARK_SIM_CUDA_API_H

#include "cuda_abi.h"

#pragma GCC visibility push(default)

/* driver.c */
CUresult cuInit (unsigned int flags);

/* device.c */
CUresult cuDriverGetVersion (int *version);
CUresult cuModuleGetLoadingMode (int *mode);
CUresult cuDeviceGetCount (int *count);
CUresult cuDeviceGet (CUdevice *device, int ordinal);
CUresult cuDeviceGetName (char *name, int length, CUdevice device);
CUresult cuDeviceGetUuid_v2 (CUuuid *uuid, CUdevice device);
CUresult cuDeviceGetPCIBusId (char *text, int length, CUdevice device);
CUresult cuDeviceGetByPCIBusId (CUdevice *device, const char *text);
CUresult cuDeviceTotalMem_v2 (size_t *bytes, CUdevice device);
CUresult cuDeviceGetAttribute (int *value, int attribute, CUdevice device);
CUresult cuDeviceCanAccessPeer (int *can, CUdevice device, CUdevice peer);
CUresult cuDeviceGetP2PAttribute (int *value, int attribute, CUdevice source, CUdevice destination);

/* context.c */
CUresult cuCtxGetCurrent (CUcontext *context);
CUresult cuCtxPushCurrent_v2 (CUcontext context);
CUresult cuCtxPopCurrent_v2 (CUcontext *context);
CUresult cuCtxSetCurrent (CUcontext context);
CUresult cuCtxCreate_v2 (CUcontext *context, unsigned int flags, CUdevice device);
CUresult cuCtxCreate_v3 (CUcontext *context, void *affinities, int count, unsigned int flags, CUdevice device);
CUresult cuCtxCreate_v4 (CUcontext *context, void *parameters, unsigned int flags, CUdevice device);
CUresult cuCtxDestroy_v2 (CUcontext context);
CUresult cuDevicePrimaryCtxRetain (CUcontext *context, CUdevice device);
CUresult cuDevicePrimaryCtxRelease_v2 (CUdevice device);
CUresult cuDevicePrimaryCtxReset_v2 (CUdevice device);
CUresult cuDevicePrimaryCtxSetFlags_v2 (CUdevice device, unsigned int flags);
CUresult cuDevicePrimaryCtxGetState (CUdevice device, unsigned int *flags, int *active);
CUresult cuCtxGetDevice (CUdevice *device);
CUresult cuCtxGetFlags (unsigned int *flags);
CUresult cuCtxGetId (CUcontext context, unsigned long long *id);
CUresult cuCtxGetApiVersion (CUcontext context, unsigned int *version);
CUresult cuCtxSynchronize (void);
CUresult cuCtxSetLimit (int limit, size_t value);
CUresult cuCtxGetLimit (size_t *value, int limit);
CUresult cuCtxGetStreamPriorityRange (int *least, int *greatest);
CUresult cuCtxEnablePeerAccess (CUcontext peer, unsigned int flags);

/* memory.c */
CUresult cuMemGetInfo_v2 (size_t *free_bytes, size_t *total_bytes);
CUresult cuMemAlloc_v2 (CUdeviceptr *pointer, size_t bytes);
CUresult cuMemAllocPitch_v2 (CUdeviceptr *pointer, size_t *pitch, size_t width_bytes, size_t height, unsigned
                             int element_bytes);
CUresult cuMemFree_v2 (CUdeviceptr pointer);
CUresult cuMemGetAddressRange_v2 (CUdeviceptr *base, size_t *bytes, CUdeviceptr pointer);
CUresult cuMemHostAlloc (void **pointer, size_t bytes, unsigned int flags);
CUresult cuMemAllocHost_v2 (void **pointer, size_t bytes);
CUresult cuMemFreeHost (void *pointer);
CUresult cuMemAllocManaged (CUdeviceptr *pointer, size_t bytes, unsigned int flags);
CUresult cuMemHostRegister_v2 (void *pointer, size_t bytes, unsigned int flags);
CUresult cuMemHostUnregister (void *pointer);
CUresult cuMemHostGetDevicePointer_v2 (CUdeviceptr *device_pointer, void *pointer, unsigned int flags);
CUresult cuMemHostGetFlags (unsigned int *flags, void *pointer);

/* vmm.c */
CUresult cuMemGetAllocationGranularity (size_t *bytes, const CUmemAllocationProp *properties, int option);
CUresult cuMemAddressReserve (CUdeviceptr *pointer, size_t bytes, size_t alignment, CUdeviceptr address,
                              unsigned long long flags);
CUresult cuMemAddressFree (CUdeviceptr pointer, size_t bytes);
CUresult cuMemCreate (CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp
                      *properties, unsigned long long flags);
CUresult cuMemExportToShareableHandle (void *shareable, CUmemGenericAllocationHandle handle, int type,
                                       unsigned long long flags);
CUresult cuMemImportFromShareableHandle (CUmemGenericAllocationHandle *handle, void *shareable, int type);
CUresult cuMemRelease (CUmemGenericAllocationHandle handle);
CUresult cuMemRetainAllocationHandle (CUmemGenericAllocationHandle *handle, void *address);
CUresult cuMemGetAllocationPropertiesFromHandle (CUmemAllocationProp *properties, CUmemGenericAllocationHandle
                                                 handle);
CUresult cuMemMap (CUdeviceptr pointer, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                   unsigned long long flags);
CUresult cuMemUnmap (CUdeviceptr pointer, size_t bytes);
CUresult cuMemSetAccess (CUdeviceptr pointer, size_t bytes, const CUmemAccessDesc *access, size_t count);
CUresult cuMemGetAccess (unsigned long long *flags, const CUmemLocation *location, CUdeviceptr pointer);

/* pool.c */
CUresult cuDeviceGetDefaultMemPool (CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceGetMemPool (CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceSetMemPool (CUdevice device, CUmemoryPool pool);
CUresult cuMemPoolCreate (CUmemoryPool *pool, const CUmemPoolProps *properties);
CUresult cuMemPoolDestroy (CUmemoryPool pool);
CUresult cuMemPoolTrimTo (CUmemoryPool pool, size_t keep_bytes);
CUresult cuMemPoolSetAccess (CUmemoryPool pool, const CUmemAccessDesc *access, size_t count);
CUresult cuMemPoolGetAccess (int *flags, CUmemoryPool pool, const CUmemLocation *location);
CUresult cuMemPoolGetAttribute (CUmemoryPool handle, int attribute, void *value);
CUresult cuMemPoolSetAttribute (CUmemoryPool handle, int attribute, void *value);
CUresult cuMemAllocFromPoolAsync (CUdeviceptr *pointer, size_t bytes, CUmemoryPool handle, CUstream stream);
CUresult cuMemAllocAsync (CUdeviceptr *pointer, size_t bytes, CUstream stream);
CUresult cuMemFreeAsync (CUdeviceptr pointer, CUstream stream);

/* pool_location.c */
CUresult cuMemGetDefaultMemPool (CUmemoryPool *pool, CUmemLocation *location, int allocation_type);
CUresult cuMemGetMemPool (CUmemoryPool *pool, CUmemLocation *location, int allocation_type);
CUresult cuMemSetMemPool (CUmemLocation *location, int allocation_type, CUmemoryPool pool);

/* transfer.c */
CUresult cuMemcpyHtoD_v2 (CUdeviceptr destination, const void *source, size_t bytes);
CUresult cuMemcpyDtoH_v2 (void *destination, CUdeviceptr source, size_t bytes);
CUresult cuMemcpyDtoD_v2 (CUdeviceptr destination, CUdeviceptr source, size_t bytes);
CUresult cuMemcpy (CUdeviceptr destination, CUdeviceptr source, size_t bytes);
CUresult cuMemcpyPeer (CUdeviceptr destination, CUcontext destination_context, CUdeviceptr source, CUcontext
                       source_context, size_t bytes);
CUresult cuMemcpyHtoDAsync_v2 (CUdeviceptr destination, const void *source, size_t bytes, CUstream stream);
CUresult cuMemcpyDtoHAsync_v2 (void *destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult cuMemcpyDtoDAsync_v2 (CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult cuMemcpyAsync (CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult cuMemcpyPeerAsync (CUdeviceptr destination, CUcontext destination_context, CUdeviceptr source,
                            CUcontext source_context, size_t bytes, CUstream stream);
CUresult cuMemcpyBatchAsync_v2 (CUdeviceptr *destinations, CUdeviceptr *sources, size_t *sizes, size_t count,
                                void *attributes, size_t *attribute_indices, size_t attribute_count, CUstream
                                stream);
CUresult cuMemcpyBatchAsync (CUdeviceptr *destinations, CUdeviceptr *sources, size_t *sizes, size_t count,
                             void *attributes, size_t *attribute_indices, size_t attribute_count, size_t
                             *failed_index, CUstream stream);
CUresult cuMemsetD8_v2 (CUdeviceptr destination, unsigned char value, size_t count);
CUresult cuMemsetD8Async (CUdeviceptr destination, unsigned char value, size_t count, CUstream stream);
CUresult cuMemsetD2D8_v2 (CUdeviceptr destination, size_t pitch_bytes, unsigned char value, size_t width,
                          size_t height);
CUresult cuMemsetD2D8Async (CUdeviceptr destination, size_t pitch_bytes, unsigned char value, size_t width,
                            size_t height, CUstream stream);
CUresult cuMemsetD16_v2 (CUdeviceptr destination, unsigned short value, size_t count);
CUresult cuMemsetD16Async (CUdeviceptr destination, unsigned short value, size_t count, CUstream stream);
CUresult cuMemsetD2D16_v2 (CUdeviceptr destination, size_t pitch_bytes, unsigned short value, size_t width,
                           size_t height);
CUresult cuMemsetD2D16Async (CUdeviceptr destination, size_t pitch_bytes, unsigned short value, size_t width,
                             size_t height, CUstream stream);
CUresult cuMemsetD32_v2 (CUdeviceptr destination, unsigned int value, size_t count);
CUresult cuMemsetD32Async (CUdeviceptr destination, unsigned int value, size_t count, CUstream stream);
CUresult cuMemsetD2D32_v2 (CUdeviceptr destination, size_t pitch_bytes, unsigned int value, size_t width,
                           size_t height);
CUresult cuMemsetD2D32Async (CUdeviceptr destination, size_t pitch_bytes, unsigned int value, size_t width,
                             size_t height, CUstream stream);

/* pointer.c */
CUresult cuPointerGetAttribute (void *data, int attribute, CUdeviceptr pointer);
CUresult cuPointerGetAttributes (unsigned int count, int *attributes, void **data, CUdeviceptr pointer);
CUresult cuPointerSetAttribute (const void *value, int attribute, CUdeviceptr pointer);

/* stream.c */
CUresult cuStreamCreateWithPriority (CUstream *stream, unsigned int flags, int priority);
CUresult cuStreamCreate (CUstream *stream, unsigned int flags);
CUresult cuStreamDestroy_v2 (CUstream stream);
CUresult cuStreamQuery (CUstream stream);
CUresult cuStreamSynchronize (CUstream stream);
CUresult cuStreamWaitEvent (CUstream stream, CUevent event, unsigned int flags);
CUresult cuStreamGetPriority (CUstream stream, int *priority);
CUresult cuStreamGetFlags (CUstream stream, unsigned int *flags);
CUresult cuStreamGetId (CUstream stream, unsigned long long *id);
CUresult cuStreamGetCtx (CUstream stream, CUcontext *context);
CUresult cuStreamAddCallback (CUstream stream, CUstreamCallback callback, void *user_data, unsigned int
                              flags);
CUresult cuLaunchHostFunc (CUstream stream, CUhostFn function, void *user_data);
CUresult cuStreamBeginCapture_v2 (CUstream stream, int mode);
CUresult cuStreamBeginCapture (CUstream stream);
CUresult cuStreamEndCapture (CUstream stream, CUgraph *graph);
CUresult cuStreamIsCapturing (CUstream stream, int *status);
CUresult cuStreamGetCaptureInfo_v2 (CUstream stream, int *status, unsigned long long *id, CUgraph *graph,
                                    const CUgraphNode **dependencies, size_t *dependency_count);
CUresult cuEventCreate (CUevent *event, unsigned int flags);
CUresult cuEventDestroy_v2 (CUevent event);
CUresult cuEventRecordWithFlags (CUevent event, CUstream stream, unsigned int flags);
CUresult cuEventRecord (CUevent event, CUstream stream);
CUresult cuEventQuery (CUevent event);
CUresult cuEventSynchronize (CUevent event);
CUresult cuEventElapsedTime_v2 (float *milliseconds, CUevent start, CUevent end);

/* stream_value.c */
CUresult cuStreamWaitValue32_v2 (CUstream stream, CUdeviceptr address, uint32_t value, unsigned int flags);
CUresult cuStreamWaitValue64_v2 (CUstream stream, CUdeviceptr address, uint64_t value, unsigned int flags);
CUresult cuStreamWriteValue32_v2 (CUstream stream, CUdeviceptr address, uint32_t value, unsigned int flags);
CUresult cuStreamWriteValue64_v2 (CUstream stream, CUdeviceptr address, uint64_t value, unsigned int flags);

/* graph.c */
CUresult cuGraphCreate (CUgraph *graph, unsigned int flags);
CUresult cuGraphDestroy (CUgraph graph);
CUresult cuGraphAddEmptyNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t
                              count);
CUresult cuGraphAddChildGraphNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t
                                   count, CUgraph child);
CUresult cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuGraphInstantiate (CUgraphExec *exec, CUgraph graph, CUgraphNode *error_node, char *log, size_t
                             log_bytes);
CUresult cuGraphInstantiateWithParams (CUgraphExec *exec, CUgraph graph, void *parameters);
CUresult cuGraphExecDestroy (CUgraphExec exec);
CUresult cuGraphLaunch (CUgraphExec exec, CUstream stream);
CUresult cuGraphUpload (CUgraphExec exec, CUstream stream);
CUresult cuGraphNodeGetType (CUgraphNode node, int *type);
CUresult cuGraphGetNodes (CUgraph graph, CUgraphNode *nodes, size_t *count);

/* memory_v1.c */
CUresult cuDeviceTotalMem (unsigned int *bytes, CUdevice device);
CUresult cuMemGetInfo (unsigned int *free_bytes, unsigned int *total_bytes);
CUresult cuMemAlloc (unsigned int *pointer, unsigned int bytes);
CUresult cuMemAllocPitch (unsigned int *pointer, unsigned int *pitch, unsigned int width_bytes, unsigned int height,
                          unsigned int element_bytes);
CUresult cuMemFree (unsigned int pointer);
CUresult cuMemGetAddressRange (unsigned int *base, unsigned int *bytes, unsigned int pointer);
CUresult cuMemAllocHost (void **pointer, unsigned int bytes);
CUresult cuArrayCreate (CUarray *array, const void *shape);
CUresult cuArray3DCreate (CUarray *array, const void *shape);

/* managed.c */
CUresult cuMemPrefetchAsync (CUdeviceptr pointer, size_t bytes, CUdevice device, CUstream stream);
CUresult cuMemPrefetchAsync_v2 (CUdeviceptr pointer, size_t bytes, CUmemLocation location, unsigned int flags,
                                CUstream stream);
CUresult cuMemPrefetchBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, CUmemLocation *locations, size_t *indices,
                                  size_t location_count, unsigned long long flags, CUstream stream);
CUresult cuMemDiscardBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, unsigned long long flags, CUstream stream);
CUresult cuMemDiscardAndPrefetchBatchAsync (CUdeviceptr *pointers, size_t *sizes, size_t count, CUmemLocation *locations,
                                            size_t *indices, size_t location_count, unsigned long long flags, CUstream stream);
CUresult cuMemAdvise (CUdeviceptr pointer, size_t bytes, int advice, CUdevice device);
CUresult cuMemAdvise_v2 (CUdeviceptr pointer, size_t bytes, int advice, CUmemLocation location);
CUresult cuStreamAttachMemAsync (CUstream stream, CUdeviceptr pointer, size_t bytes, unsigned int flags);

/* share.c */
CUresult cuIpcGetMemHandle (CUipcMemHandle *handle, CUdeviceptr pointer);
CUresult cuIpcOpenMemHandle_v2 (CUdeviceptr *pointer, CUipcMemHandle handle, unsigned int flags);
CUresult cuIpcCloseMemHandle (CUdeviceptr pointer);
CUresult cuMemPoolExportToShareableHandle (void *shareable, CUmemoryPool handle, int type, unsigned long long flags);
CUresult cuMemPoolImportFromShareableHandle (CUmemoryPool *handle, void *shareable, int type,
                                             unsigned long long flags);
CUresult cuMemPoolExportPointer (CUmemPoolPtrExportData *data, CUdeviceptr pointer);
CUresult cuMemPoolImportPointer (CUdeviceptr *pointer, CUmemoryPool handle, CUmemPoolPtrExportData *data);
CUresult cuImportExternalMemory (CUexternalMemory *memory, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *description);
CUresult cuExternalMemoryGetMappedBuffer (CUdeviceptr *pointer, CUexternalMemory memory,
                                          const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *description);
CUresult cuDestroyExternalMemory (CUexternalMemory memory);

/* array.c */
CUresult cuArray3DCreate_v2 (CUarray *array, const CUDA_ARRAY3D_DESCRIPTOR *shape);
CUresult cuArrayCreate_v2 (CUarray *array, const CUDA_ARRAY_DESCRIPTOR *shape);
CUresult cuArrayDestroy (CUarray handle);
CUresult cuArray3DGetDescriptor_v2 (CUDA_ARRAY3D_DESCRIPTOR *shape, CUarray handle);
CUresult cuArrayGetDescriptor_v2 (CUDA_ARRAY_DESCRIPTOR *shape, CUarray array);
CUresult cuArrayGetSparseProperties (CUDA_ARRAY_SPARSE_PROPERTIES *properties, CUarray array);
CUresult cuMemMapArrayAsync (CUarrayMapInfo *list, unsigned int count, CUstream stream);
CUresult cuArrayGetMemoryRequirements (CUDA_ARRAY_MEMORY_REQUIREMENTS *requirements, CUarray array, CUdevice device);
CUresult cuMipmappedArrayCreate (CUmipmappedArray *handle, const CUDA_ARRAY3D_DESCRIPTOR *shape, unsigned int levels);
CUresult cuMipmappedArrayGetLevel (CUarray *array, CUmipmappedArray handle, unsigned int level);
CUresult cuMipmappedArrayDestroy (CUmipmappedArray handle);

/* green.c */
CUresult cuDeviceGetDevResource (CUdevice device, CUdevResource *resource, int type);
CUresult cuDevSmResourceSplitByCount (CUdevResource *groups, unsigned int *count, const CUdevResource *from, CUdevResource *rest,
                                      unsigned int flags, unsigned int least);
CUresult cuDevResourceGenerateDesc (CUdevResourceDesc *description, CUdevResource *resources, unsigned int count);
CUresult cuGreenCtxCreate (CUgreenCtx *green, CUdevResourceDesc description, CUdevice device, unsigned int flags);
CUresult cuGreenCtxDestroy (CUgreenCtx green);
CUresult cuCtxFromGreenCtx (CUcontext *context, CUgreenCtx green);

/* module.c */
CUresult cuModuleLoad (CUmodule *module, const char *path);
CUresult cuModuleLoadData (CUmodule *module, const void *image);
CUresult cuModuleLoadDataEx (CUmodule *module, const void *image, unsigned int count, int *options, void **values);
CUresult cuModuleLoadFatBinary (CUmodule *module, const void *image);
CUresult cuModuleUnload (CUmodule module);
CUresult cuModuleGetFunction (CUfunction *function, CUmodule module, const char *name);
CUresult cuLibraryLoadData (CUlibrary *library, const void *image, int *jit_options, void **jit_values, unsigned int jit_count,
                            int *options, void **values, unsigned int count);
CUresult cuLibraryLoadFromFile (CUlibrary *library, const char *path, int *jit_options, void **jit_values,
                                unsigned int jit_count, int *options, void **values, unsigned int count);
CUresult cuLibraryUnload (CUlibrary library);

/* transfer_shaped.c */
CUresult cuMemcpy2D_v2 (const CUDA_MEMCPY2D *this);
CUresult cuMemcpy3D_v2 (const CUDA_MEMCPY3D *this);
CUresult cuMemcpy2DAsync_v2 (const CUDA_MEMCPY2D *this, CUstream stream);
CUresult cuMemcpy3DAsync_v2 (const CUDA_MEMCPY3D *this, CUstream stream);
CUresult cuMemcpyHtoA_v2 (CUarray to, size_t offset_bytes, const void *from, size_t bytes);
CUresult cuMemcpyAtoH_v2 (void *to, CUarray from, size_t offset_bytes, size_t bytes);
CUresult cuMemcpyDtoA_v2 (CUarray to, size_t offset_bytes, CUdeviceptr from, size_t bytes);
CUresult cuMemcpyAtoD_v2 (CUdeviceptr to, CUarray from, size_t offset_bytes, size_t bytes);
CUresult cuMemcpyAtoA_v2 (CUarray to, size_t to_offset_bytes, CUarray from, size_t from_offset_bytes, size_t bytes);

/* graph_memory.c */
CUresult cuGraphAddMemAllocNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                 size_t count_of_them, CUDA_MEM_ALLOC_NODE_PARAMS *parameters);
CUresult cuGraphAddMemFreeNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies,
                                size_t count_of_them, CUdeviceptr pointer);
CUresult cuGraphAddNode (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, size_t count_of_them,
                         CUgraphNodeParams *parameters);
CUresult cuGraphAddNode_v2 (CUgraphNode *node, CUgraph graph, const CUgraphNode *dependencies, const void *edges,
                            size_t count_of_them, CUgraphNodeParams *parameters);
CUresult cuGraphMemAllocNodeGetParams (CUgraphNode handle, CUDA_MEM_ALLOC_NODE_PARAMS *parameters);
CUresult cuGraphMemFreeNodeGetParams (CUgraphNode handle, CUdeviceptr *pointer);
CUresult cuDeviceSetGraphMemAttribute (CUdevice device, int attribute, void *value);
CUresult cuDeviceGetGraphMemAttribute (CUdevice device, int attribute, void *value);
CUresult cuDeviceGraphMemTrim (CUdevice device);

/* errors.c */
CUresult cuGetErrorName (CUresult error, const char **text);
CUresult cuGetErrorString (CUresult error, const char **text);

/* resolve.c */
CUresult cuGetProcAddress_v2 (const char *name, void **function, int version, unsigned long long flags, int
                              *status);
CUresult cuGetProcAddress (const char *name, void **function, int version, unsigned long long flags);
CUresult cuGetExportTable (const void **table_out, const CUuuid *id);

#pragma GCC visibility pop

#endif
